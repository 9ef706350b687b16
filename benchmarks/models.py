"""A training step of each of the eight worked models, beside PyTorch: the same weights and batches.

The steps are written once, in the names that PyTorch and we share; where these differ, a Library
says how. Dropout, whose random numbers differ, is left out.
"""

import contextlib
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

import tinygrad_lite as tg
from benchmarks.timing import Factory, Row, digest, race
from tinygrad_lite.examples import cnn, diffusion, gan, lstm, mlp, pinn, pole, vae

STEPS = 8  # after which losses and weights are compared


class Ours:
    """What of ours has another name, or another way, in PyTorch"""

    nn, optim, no_grad, create_graph = tg.nn, tg.optim, tg.no_grad, tg.create_graph
    functions = tg

    tensor = tg.Tensor
    drawn: ClassVar[dict] = {"rng": np.random.default_rng(0)}  # what modules with weights want
    leaf = staticmethod(lambda x: tg.Tensor(x, requires_grad=True))
    gradients = staticmethod(lambda out, xs: tg.gradients(out, xs, create_graph=True))
    average = tg.optim.ExponentialMovingAverage


class Torch:
    """The same of PyTorch"""

    drawn: ClassVar[dict] = {}
    create_graph = staticmethod(contextlib.nullcontext)

    def __init__(self, threads: int):
        import torch

        torch.set_num_threads(threads)
        self.torch, self.nn, self.optim = torch, torch.nn, torch.optim
        self.no_grad, self.tensor = torch.no_grad, torch.from_numpy
        self.functions = torch.nn.functional

    def leaf(self, x: Any) -> Any:
        return x.detach().requires_grad_()

    def gradients(self, out: Any, xs: list) -> Any:
        return self.torch.autograd.grad(out, xs, create_graph=True)

    def average(self, parameters: Any, decay: float) -> Any:
        torch, parameters = self.torch, [*parameters]

        averages = [p.detach().clone() for p in parameters]

        def update() -> None:
            torch._foreach_lerp_(averages, [p.detach() for p in parameters], 1 - decay)

        return SimpleNamespace(averages=averages, update=update)


def numbered(module: Any, library: Any) -> Any:
    """The module with the same weights in either library"""
    rng = np.random.default_rng(1)
    with library.no_grad():
        for p in module.parameters():
            bound = 1 / np.sqrt(np.prod(p.shape[1:]) if p.ndim > 1 else 16)
            p.copy_(library.tensor(rng.uniform(-bound, bound, tuple(p.shape)).astype("f")))
    return module


def perceptron(library: Any, activation: Callable[[], Any], *sizes: int) -> Any:
    layers: list[Any] = []
    for n, m in itertools.pairwise(sizes):
        layers += [library.nn.Linear(n, m, **library.drawn), activation()]
    return numbered(library.nn.Sequential(*layers[:-1]), library)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def whole(below: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, below, shape)


def adamw(library: Any, *modules: Any, **settings: Any) -> Any:
    parameters = [p for module in modules for p in module.parameters()]
    return library.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01, **settings)


def learn(loss: Any, optimizer: Any) -> Any:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


# Of each model: its step, a batch, and its modules
Made = tuple[Callable[..., Any], list[np.ndarray], list[Any]]


def classifier(library: Any, model: Any, x: np.ndarray, smoothing: float) -> Made:
    f, optimizer = library.functions, adamw(library, model)

    def step(x: Any, y: Any) -> Any:
        return learn(f.cross_entropy(model(x), y, label_smoothing=smoothing), optimizer)

    return step, [x, whole(10, len(x))], [model]


def of_mlp(library: Any) -> Made:
    model = perceptron(library, library.nn.ReLU, 64, 128, 64, 10)
    return classifier(library, model, normal(mlp.BATCH, 64), 0.0)


def of_cnn(library: Any) -> Made:
    nn, drawn = library.nn, library.drawn

    def block(n: int, m: int) -> list:
        convolution = nn.Conv2d(n, m, 3, padding=1, bias=False, **drawn)
        return [convolution, nn.BatchNorm2d(m), nn.ReLU()]

    layers = [*block(1, 32), *block(32, 32), nn.MaxPool2d(2), *block(32, 64), nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10, **drawn))
    return classifier(library, numbered(model, library), normal(cnn.BATCH, 1, 8, 8), 0.05)


def of_lstm(library: Any) -> Made:
    nn, drawn, vocabulary = library.nn, library.drawn, 60
    table = numbered(nn.Embedding(vocabulary, 32, **drawn), library)
    recurrent = numbered(nn.LSTM(32, lstm.HIDDEN, **drawn), library)
    head = numbered(nn.Linear(lstm.HIDDEN, vocabulary, **drawn), library)
    optimizer = adamw(library, table, recurrent, head)

    def step(x: Any, y: Any) -> Any:
        logits = head(recurrent(table(x))[0]).reshape(-1, vocabulary)
        return learn(library.functions.cross_entropy(logits, y.reshape(-1)), optimizer)

    tokens = whole(vocabulary, lstm.TIME + 1, lstm.BATCH)
    return step, [tokens[:-1].copy(), tokens[1:].copy()], [table, recurrent, head]


def of_vae(library: Any) -> Made:
    nn, f = library.nn, library.functions
    encoder = perceptron(library, nn.SiLU, 64, vae.HIDDEN, 2 * vae.CODE)
    decoder = perceptron(library, nn.SiLU, vae.CODE, vae.HIDDEN, 64)
    optimizer = adamw(library, encoder, decoder)

    def step(x: Any, noise: Any) -> Any:
        mean, log_var = encoder(x).chunk(2, -1)
        code = mean + (log_var * 0.5).exp() * noise
        error = f.binary_cross_entropy_with_logits(decoder(code), x, reduction="sum")
        divergence = ((mean.square() + log_var.exp() - log_var - 1) * 0.5).sum()
        return learn((error + divergence) / vae.BATCH, optimizer)

    images = whole(2, vae.BATCH, 64).astype(np.float32)
    return step, [images, normal(vae.BATCH, vae.CODE)], [encoder, decoder]


def of_gan(library: Any) -> Made:
    f, h = library.functions, gan.HIDDEN

    def sharp() -> Any:
        return library.nn.LeakyReLU(0.2)

    generator = perceptron(library, sharp, gan.NOISE, h, h, h, 2)
    critic = perceptron(library, sharp, 2, h, h, h, 1)
    of_generator, of_critic = (
        adamw(library, part, betas=(0.0, 0.9)) for part in (generator, critic)
    )

    def step(real: Any, noise: Any) -> Any:
        with library.no_grad():
            fake = generator(noise)
        with library.create_graph():
            seen = library.leaf(real)
            judged = critic(seen)
            (slope,) = library.gradients(judged.sum(), [seen])
            loss = f.softplus(-judged).mean() + f.softplus(critic(fake)).mean()
            loss = loss + slope.square().sum(1).mean() * (gan.PENALTY / 2)
        learn(loss, of_critic)
        learn(f.softplus(-critic(generator(noise))).mean(), of_generator)
        of_critic.zero_grad()
        return loss

    real = gan.sample(np.random.default_rng(0), gan.BATCH)
    return step, [real, normal(gan.BATCH, gan.NOISE)], [generator, critic]


def of_pinn(library: Any) -> Made:
    network = perceptron(library, library.nn.Tanh, 2, pinn.HIDDEN, pinn.HIDDEN, 1)
    optimizer = adamw(library, network)
    first, second = (library.tensor(row[None].copy()) for row in np.eye(2, dtype=np.float32))

    def step(x: Any, t: Any) -> Any:
        with library.create_graph():
            x, t = library.leaf(x), library.leaf(t)
            u = (x * np.pi).sin() + t * x * (1 - x) * network(x * first + t * second)
            u_x, u_t = library.gradients(u.sum(), [x, t])
            (u_xx,) = library.gradients(u_x.sum(), [x])
            loss = (u_t - u_xx * pinn.DIFFUSIVITY).square().mean()
        return learn(loss, optimizer)

    places = np.random.default_rng(0).random((2, pinn.BATCH, 1), np.float32)
    return step, [*places.copy()], [network]


def of_diffusion(library: Any) -> Made:
    h = diffusion.HIDDEN
    network = perceptron(library, library.nn.SiLU, 10, h, h, h, 2)
    optimizer = adamw(library, network)
    average = library.average(network.parameters(), 0.99)

    def step(seen: Any, noise: Any) -> Any:
        loss = learn(library.functions.mse_loss(network(seen), noise), optimizer)
        average.update()
        return loss

    return step, [normal(diffusion.BATCH, 10), normal(diffusion.BATCH, 2)], [network]


def of_pole(library: Any) -> Made:
    h, n, f = pole.HIDDEN, pole.BATCH, library.functions
    online, target = (perceptron(library, library.nn.ReLU, 4, h, h, 2) for _ in range(2))
    optimizer, slow = adamw(library, online), library.average(online.parameters(), 0.99)

    def step(state: Any, action: Any, after: Any, ended: Any) -> Any:
        with library.no_grad():
            best = online(after).argmax(-1, keepdim=True)
            value = target(after).gather(1, best).squeeze(1)
            wanted = value * (1 - ended) * pole.DISCOUNT + 1
        found = online(state).gather(1, action.unsqueeze(1)).squeeze(1)
        loss = learn(f.huber_loss(found, wanted), optimizer)
        slow.update()
        with library.no_grad():
            for p, average in zip(target.parameters(), slow.averages, strict=True):
                p.copy_(average)
        return loss

    ended = (normal(n) > 1).astype(np.float32)
    return step, [normal(n, 4), whole(2, n), normal(n, 4) * 0.5, ended], [online, target]


CONFIGS: dict[str, Callable[[Any], Made]] = {
    "mlp": of_mlp, "cnn": of_cnn, "lstm": of_lstm, "vae": of_vae, "gan": of_gan,
    "pinn": of_pinn, "diffusion": of_diffusion, "pole": of_pole,
}  # fmt: skip


def contender(config: str, library: Any, recorded: bool) -> tuple[Callable[[], object], dict]:
    step, batch, modules = CONFIGS[config](library)
    step = tg.jit(step) if recorded else step
    tensors = [library.tensor(array) for array in batch]
    losses = [step(*tensors).item() for _ in range(STEPS)]
    parameters = [p for module in modules for p in module.parameters()]
    weights = np.concatenate([p.detach().numpy().reshape(-1) for p in parameters])
    return lambda: step(*tensors), {"losses": np.array(losses), "weights": digest(weights)}


def ours(config: str, recorded: bool) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    return contender(config, Ours, recorded)


def of_torch(config: str, threads: int) -> tuple[Callable[[], object], dict[str, np.ndarray]]:
    return contender(config, Torch(threads), False)


def run(config: str, peers: list[str]) -> list[Row]:
    contenders: dict[str, tuple[Factory, tuple]] = {
        "ours jit": (ours, (config, True)),
        "ours eager": (ours, (config, False)),
    }
    if "torch" in peers:
        contenders["torch eager"] = (of_torch, (config, tg.get_num_threads()))
    return race("models", config, contenders, 8, tolerance=1e-3)
