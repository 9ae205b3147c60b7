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

// float32 to float16 as half_of() in reconstruction.h does it, without a branch, for values below infinity.
// True when a value is too large for float16.
inline bool reconstruct_half_row(const int16_t* symbols, const float* r1, const float* r2, float step,
                                 size_t n, uint16_t* values) {
  uint32_t largest = 0;
  for (size_t i = 0; i < n; ++i) {
    const auto whole = static_cast<float>(symbols[i]);
    const float magnitude = __builtin_fabsf(whole);
    const float low = magnitude * r1[i], above = magnitude + r2[i];
    const float value = step * (magnitude > 1 ? above : low);
    uint32_t bits, shifted;
    __builtin_memcpy(&bits, &value, 4);
    // r2 ≥ −1 and a magnitude above 1 leave no negative value.
    const float lifted = value + 0.5f;
    __builtin_memcpy(&shifted, &lifted, 4);
    const uint32_t normal = (bits + 0xFFF + (bits >> 13 & 1) - 0x38000000) >> 13;
    const uint32_t half = bits < 0x38800000 ? shifted - 0x3F000000 : normal;
    largest = bits > largest ? bits : largest;
    values[i] = static_cast<uint16_t>(half | (symbols[i] < 0 ? 0x8000u : 0u));
  }
  return largest >= 0x477FF000;
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
