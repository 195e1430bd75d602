"The instrument: the page's decoder, encoder and prior against torch's, in node."

import base64
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from playwright._impl._driver import compute_driver_executable

from samplevae.instrument import bundle_modules, page_config, prior_tensors, storage_type, write_pack
from samplevae.latents import DESCRIPTORS, describe_vectors
from samplevae.layers import remove_weight_norm
from samplevae.mixtures import MixturePrior, NormalPrior
from samplevae.prior import FlowMatchingPrior, FlowPrior, load
from samplevae.vae import SampleVAE
from samplevae.vectors import decode_vectors, encode_vectors

NODE = shutil.which("node") or compute_driver_executable()[0]  # playwright brings one
FORMS = {
    "small": {},
    "no oscillator": dict(harmonics=0),
    "no lines": dict(partials=4),
    "no noise": dict(noise_bands=0),
    "another hop": dict(hop_length=256, sample_rate=22_050, latent=8),
    "base": dict(size="base", hop_length=256, seconds=0.4, latent=32),
}


def make_model(**changes):
    "A model with random weights, all of them large enough to be heard."
    torch.manual_seed(0)
    model = remove_weight_norm(SampleVAE(**dict(size="small", seconds=0.5, latent=16) | changes).eval())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("scale"):
                weight += 0.3 * torch.randn_like(weight)
        if model.decoder.oscillator:
            model.decoder.oscillator.level.bias += 2
            model.decoder.oscillator.fall.weight *= 20
        if model.decoder.head.lines:
            model.decoder.head.lines.envelope.bias += 3  # lines as loud as the rest
            model.decoder.head.lines.envelope.weight *= 5
        model.decoder.gate.layer.weight *= 20  # some frames are open, some closed, some between
        model.decoder.gate.layer.bias.fill_(1.0)
    return model


def make_prior(model, kind="flow"):
    "A prior of a model, that bends."
    torch.manual_seed(1)
    sizes = model.config.latent, model.config.pitch_dims, 5
    makes = {"normal": {}, "flow": {"layers": 3}, "flow-matching": {"layers": 3}, "mixture": {"gaussians": 4}}
    kinds = {"normal": NormalPrior, "flow": FlowPrior, "flow-matching": FlowMatchingPrior, "mixture": MixturePrior}
    prior = kinds[kind](*sizes, **makes[kind])
    with torch.no_grad():
        for weight in prior.parameters():
            weight += 0.1 * torch.randn_like(weight)
        if kind == "mixture":
            prior.joint.weight.copy_(torch.rand(4).softmax(0)), prior.joint.mean.normal_()
            prior.joint.factor.copy_(
                torch.eye(prior.joint.mean.shape[1]) * 0.4 + 0.1 * torch.randn_like(prior.joint.factor).tril(-1)
            )
        if kind.startswith("flow"):
            prior.mean.normal_(), prior.scale.uniform_(0.5, 1.5)
            prior.pitch_mean.normal_(), prior.pitch_scale.uniform_(0.5, 1.5)
        if prior.pitch:
            prior.pitch.weight.copy_(torch.rand(5).softmax(0)), prior.pitch.factor.uniform_(0.05, 0.4)
            prior.pitch.mean.copy_(torch.stack([0.5 * torch.randn(5), torch.rand(5)], 1))
    return prior


def random_vectors(model, count):
    "Rows of a model: pitches between 64 and 512 Hz, any confidence, and latent vectors."
    pitch = torch.stack([1.5 * torch.rand(count) - 1, torch.rand(count)], 1)[:, : model.config.pitch_dims]
    return torch.cat([pitch, torch.randn(count, model.config.latent)], 1)


def run_in_node(program, pack, **given):
    "A program with the page's modules, a pack, and arrays of float32 -> what it prints as JSON, arrays decoded."
    texts = {
        name: base64.b64encode(np.ascontiguousarray(x, np.float32).tobytes()).decode() for name, x in given.items()
    }
    script = f"""{bundle_modules("worker.js")}
        const {{ Model }} = module_model, {{ readPack }} = module_pack;
        const floats = (text) => new Float32Array(new Uint8Array(Buffer.from(text, "base64")).buffer);
        const text = (rows) => Buffer.concat(rows.map((row) => Buffer.from(Float32Array.from(row).buffer))).toString("base64");
        const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
        const given = Object.fromEntries(Object.entries(input.given).map(([name, value]) => [name, floats(value)]));
        const rows = (x, n) => Array.from({{ length: x.length / n }}, (_, i) => x.slice(n * i, n * i + n));
        (async () => {{
            const pack = await readPack(new Uint8Array(Buffer.from(input.pack, "base64")));
            {program}
        }})().catch((error) => {{ console.error(error); process.exit(1); }});"""
    sent = json.dumps({"pack": base64.b64encode(pack).decode(), "given": texts})
    done = subprocess.run([NODE, "-e", script], input=sent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return {
        name: value if name in ("kind", "names") else np.frombuffer(base64.b64decode(value), np.float32)
        for name, value in json.loads(done.stdout).items()
    }


def pack_of(model, prior, precision):
    "The weights alone."
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()} | prior_tensors(prior)
    types = {name: storage_type(name, tensor, precision) for name, tensor in tensors.items()}
    return write_pack({"config": page_config(model, prior)}, tensors, types)


def error_to_signal(theirs, ours):
    "In dB, by row."
    return 10 * np.log10(((theirs - ours) ** 2).sum(1) / (ours**2).sum(1).clip(1e-9) + 1e-20)


@pytest.mark.parametrize("kernels", ["wasm", "plain"])
@pytest.mark.parametrize("form", FORMS)
def test_the_page_decodes_and_encodes_as_torch_does(form, kernels):
    model = make_model(**FORMS[form])
    prior, z = make_prior(model), random_vectors(model, 8)
    time = torch.arange(model.length) / model.config.sample_rate
    tones = (torch.tensor([[500.0], [120.0], [3000.0]]) * time).sin()  # 80, 19 (below the lowest pitch) and 477 Hz
    x = torch.cat([0.3 * torch.randn(2, model.length), tones, torch.zeros(1, model.length)])
    with torch.no_grad():
        waves, points = decode_vectors(model, z).numpy(), encode_vectors(model, x).numpy()
    program = f"""
        const model = new Model(pack, {{ kernels: "{kernels}" }}), N = model.config.numbers;
        model.addEncoder(pack);
        console.log(JSON.stringify({{ kind: model.space.kind, waves: text(rows(given.z, N).map((z) => model.decode(z))),
            points: text(rows(given.x, model.length).map((x) => model.encode(x))) }}));"""
    # a pitch that differs by the last of 32 bits is out of phase, at the 64th partial, by a thousandth of a turn
    exact = (-75, -60) if model.decoder.head.lines else (-98, -80)
    for precision, most in ("f32", exact), ("mixed", (-70, -60)):
        done = run_in_node(program, pack_of(model, prior, precision), z=z, x=x)
        assert done["kind"] == kernels
        errors = error_to_signal(done["waves"].reshape(waves.shape), waves)
        assert np.median(errors) < most[0] and errors.max() < most[1], (precision, errors)
        if precision == "f32":
            assert np.abs(done["points"].reshape(points.shape) - points).max() < 1e-5


@pytest.mark.parametrize("form", ["small", "no oscillator"])
@pytest.mark.parametrize("kind", ["flow", "flow-matching", "mixture", "normal"])
def test_the_page_goes_through_the_prior_both_ways_as_torch_does(kind, form):
    model = make_model(**FORMS[form])
    prior, numbers = make_prior(model, kind), model.config.pitch_dims + 16
    base = torch.randn(8, numbers)
    with torch.no_grad():
        vectors = prior.from_base(base)
        back = prior.to_base(vectors)  # not all of them come back: a confidence outside of 0 to 1 was moved there
    program = """
        const model = new Model(pack), vectors = rows(given.base, model.config.numbers).map((base) => model.prior.toVector(base));
        console.log(JSON.stringify({ vectors: text(vectors), back: text(vectors.map((z) => model.prior.toBase(z))) }));"""
    done = run_in_node(program, pack_of(model, prior, "f32"), base=base)
    assert np.abs(done["vectors"].reshape(8, numbers) - vectors.numpy()).max() < 2e-3
    assert np.abs(done["back"].reshape(8, numbers) - back.numpy()).max() < 2e-4
    assert torch.allclose(back[:, -16:], base[:, -16:], atol=1e-3)


@pytest.mark.parametrize("form", ["small", "no oscillator"])
def test_the_page_describes_sounds_as_we_do(form):
    model = make_model(**FORMS[form])
    z = random_vectors(model, 6)
    program = """
        const model = new Model(pack), { describe, DESCRIPTORS } = module_descriptors;
        const values = rows(given.z, model.config.numbers).map((z) => { const { wave, tone, octaves } = model.decode(z, { parts: true });
            const found = describe(wave, model.rate, tone, octaves, tone ? 8 + 2 * z[0] : 0); return DESCRIPTORS.map((name) => found[name]); });
        console.log(JSON.stringify({ names: DESCRIPTORS, values: text(values) }));"""
    done = run_in_node(program, pack_of(model, make_prior(model), "f32"), z=z)
    assert done["names"] == list(DESCRIPTORS)
    assert np.abs(done["values"].reshape(6, -1) - describe_vectors(model, z).numpy()).max() < 1e-2


def test_a_trained_model_and_its_prior_are_the_same_in_the_page(smoke_run):
    model, prior = load(smoke_run)
    torch.manual_seed(3)
    base = torch.randn(16, model.config.pitch_dims + model.config.latent)
    with torch.no_grad():
        z = prior.from_base(base)
        waves = decode_vectors(model, z).numpy()
    program = """
        const model = new Model(pack), N = model.config.numbers, vectors = rows(given.base, N).map((base) => model.prior.toVector(base));
        console.log(JSON.stringify({ vectors: text(vectors), waves: text(rows(given.z, N).map((z) => model.decode(z))) }));"""
    done = run_in_node(program, pack_of(model, prior, "f32"), base=base, z=z)
    assert np.abs(done["waves"].reshape(waves.shape) - waves).max() < 1e-4  # of few steps: pitches up to 20 kHz
    assert np.abs(done["vectors"].reshape(z.shape) - z.numpy()).max() < 1e-3


def test_a_flow_of_one_dimension_is_left_to_plain_steps():
    model, prior = SampleVAE(latent=1, size="tiny", seconds=0.25), FlowPrior(1, 2)
    assert page_config(model, prior)["prior"] == "" and prior_tensors(prior) == {}
    model, prior = SampleVAE(latent=2, size="tiny", seconds=0.25), FlowPrior(2, 2)
    assert page_config(model, prior)["prior"] == "flow" and prior_tensors(prior)
