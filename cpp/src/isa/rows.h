// Plain loops over rows, which every back end compiles for its own vectors. Included as lanes.h is. No
// contraction: a product and a sum are two roundings on every machine.

inline void reconstruct_row(const int16_t* symbols, const float* r1, const float* r2, float step, size_t n,
                            float* values) {
  for (size_t i = 0; i < n; ++i) {
    const auto whole = static_cast<float>(symbols[i]);
    const float magnitude = __builtin_fabsf(whole);
    // r1 times a magnitude of 0 or 1 is what stands there.
    const float low = magnitude * r1[i], above = magnitude + r2[i];
    values[i] = __builtin_copysignf(step * (magnitude > 1 ? above : low), whole);
  }
}

// Adding 2^23 and taking it away rounds a float below 2^22 to the nearest integer, ties to even.
inline bool quantise_row(const float* latents, float inv_step, const float* theta, size_t n,
                         int16_t* symbols) {
  constexpr float kRound = 8388608.0f, kMostMagnitude = 32767.0f;
  int n_nan = 0;
  for (size_t i = 0; i < n; ++i) {
    const float x = latents[i], magnitude = __builtin_fabsf(x) * inv_step - theta[i];
    const float positive = magnitude > 0 ? magnitude : 0;
    const float cut = positive < kMostMagnitude ? positive : kMostMagnitude;
    symbols[i] = static_cast<int16_t>(static_cast<int32_t>(__builtin_copysignf((cut + kRound) - kRound, x)));
    n_nan += x != x;
  }
  return n_nan > 0;
}
