"""What compiled loops share: the `@kernel` decorator, SIMD functions, the packed GEMM."""
