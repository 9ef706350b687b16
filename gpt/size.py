"""What a model of a configuration consists of, computes and needs, without building it."""

from typing import Any

from gpt.config import GPTConfig


def describe(config: GPTConfig, batch_size: int) -> dict[str, Any]:
    """Parameters by component, FLOPs a token (a multiply-add is two), megabytes (10^6 bytes).

    FLOPs are those of matrix products: 2 for each weight of a matrix, and in attention 2 * 2 * C
    for each position that a query sees, T / 2 of them on average; backward takes twice as many.
    """
    c, layers, time = config.n_embd, config.n_layer, config.block_size
    matrices = [
        ("query, key, value, output", f"{c} x {c}", c * c, 4 * layers),
        ("feed-forward up", f"{config.d_ff} x {c}", config.d_ff * c, layers),
        ("feed-forward down", f"{c} x {config.d_ff}", config.d_ff * c, layers),
    ]
    vocabulary = (f"{config.vocab_size} x {c}", config.vocab_size * c)
    components = [("token embedding", *vocabulary, 1)]
    if config.position == "learned":
        components.append(("position embedding", f"{time} x {c}", time * c, 1))
    components += matrices
    if config.bias:
        components += [
            ("attention biases", f"{c}", c, 4 * layers),
            ("feed-forward biases", f"{config.d_ff} + {c}", config.d_ff + c, layers),
        ]
    if config.token_shift:
        components.append(("token shifts", f"{c}", c, 2 * layers))
    if config.norm == "layernorm":
        each = 2 * c if config.bias else c
        count = 2 * layers + config.final_norm
        components.append(("layer norms", f"{'2 x ' * config.bias}{c}", each, count))
    if not config.tie_weights:
        components.append(("head", *vocabulary, 1))
    if config.head_bias:
        components.append(("head bias", f"{config.vocab_size}", config.vocab_size, 1))
    parameters = sum(each * times for _, _, each, times in components)
    in_products = sum(each * times for _, _, each, times in matrices) + vocabulary[1]
    flops = 2 * in_products + layers * 2 * 2 * c * (time + 1) / 2
    # Kept for the backward pass, in units of C: two norms, q, k, v, what attention gives, two sums,
    # twice d_ff, two token shifts; then logits and their gradient
    per_token = (
        layers * ((10 + 2 * config.token_shift) * c + 2 * config.d_ff) + 2 * config.vocab_size
    )
    cache = 2 * layers * time * (1 + config.token_shift) * c
    return {
        "components": [
            {"name": name, "shape": shape, "each": each, "times": times}
            for name, shape, each, times in components
        ],
        "parameters": parameters,
        "flops_per_token": flops,
        "training_flops_per_token": 3 * flops,
        "training_mb": (16 * parameters + 4 * per_token * batch_size * time) / 1e6,
        "inference_mb": 4 * (parameters + cache) / 1e6,
    }
