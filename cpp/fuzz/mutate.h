// Ways to damage bytes, for the campaigns (campaign.h).
#pragma once

#include <algorithm>
#include <array>

#include "cases.h"

namespace swathpack::fuzz {

using test::Buffer;
using test::Random;

enum class Damage : uint8_t {
  kFlipBit,
  kFlipBits,
  kSetByte,
  kNoise,
  kZeros,
  kOnes,
  kInsert,
  kErase,
  kCut,
  kAppend,
  kSwap,
  kRepeat,
  kSplice,
  kStep,
  kNumber,
};
inline constexpr unsigned kDamages = 15;

// Damages bytes[first …] but for the last `n_tail`, of which at least one stays. `donor` gives bytes to
// splice.
inline void damage(Buffer& bytes, size_t first, size_t n_tail, const Buffer& donor, Random& random) {
  const auto below = [&random](size_t n) { return random.below(static_cast<uint32_t>(n)); };
  const size_t n = bytes.size() - first - n_tail;
  const auto begin = bytes.begin() + static_cast<ptrdiff_t>(first);
  const auto place = [&](size_t at) { return begin + static_cast<ptrdiff_t>(at); };
  const size_t at = below(n);
  const size_t run = std::min<size_t>(n - at, 1 + below(random.chance(4) ? 40 : 4));
  const auto flip = [&](size_t bit) {
    *place(bit / 8) = static_cast<uint8_t>(*place(bit / 8) ^ 1u << bit % 8);
  };
  switch (static_cast<Damage>(random.below(kDamages))) {
    case Damage::kFlipBit:
      flip(below(8 * n));
      break;
    case Damage::kFlipBits:
      for (unsigned i = 2 + random.below(7); i > 0; --i) flip(below(8 * n));
      break;
    case Damage::kSetByte:
      *place(at) = static_cast<uint8_t>(random.next());
      break;
    case Damage::kNoise:
      for (size_t i = 0; i < run; ++i) *place(at + i) = static_cast<uint8_t>(random.next());
      break;
    case Damage::kZeros:
      std::fill_n(place(at), run, uint8_t{0});
      break;
    case Damage::kOnes:
      std::fill_n(place(at), run, uint8_t{0xFF});
      break;
    case Damage::kInsert: {
      Buffer fresh(1 + random.below(4));
      for (uint8_t& byte : fresh) byte = static_cast<uint8_t>(random.chance(3) ? 0 : random.next());
      bytes.insert(place(at), fresh.begin(), fresh.end());
      break;
    }
    case Damage::kErase:
      bytes.erase(place(at), place(at + std::min(run, n - 1)));
      break;
    case Damage::kCut: {  // what is behind the cut goes, but not the tail
      const size_t left = 1 + below(n);
      bytes.erase(place(left), place(n));
      break;
    }
    case Damage::kAppend:
      bytes.insert(place(n), 1 + random.below(4), static_cast<uint8_t>(random.next()));
      break;
    case Damage::kSwap: {
      const size_t other = below(n), m = std::min(run, n - std::max(at, other));
      if (at != other)
        std::swap_ranges(place(at), place(at + std::min(m, at > other ? at - other : other - at)),
                         place(other));
      break;
    }
    case Damage::kRepeat: {
      const Buffer again(place(at), place(at + run));
      bytes.insert(place(below(n)), again.begin(), again.end());
      break;
    }
    case Damage::kSplice: {
      const size_t from = below(donor.size()), m = std::min(run, donor.size() - from);
      std::copy_n(donor.begin() + static_cast<ptrdiff_t>(from), m, place(at));
      break;
    }
    case Damage::kStep:  // a number of two bytes, one more or less
      if (at + 1 < n) {
        const unsigned number =
            (*place(at) | unsigned{*place(at + 1)} << 8) + (random.chance(2) ? 1u : 0xFFFFu);
        *place(at) = static_cast<uint8_t>(number);
        *place(at + 1) = static_cast<uint8_t>(number >> 8);
      } else {
        ++*place(at);
      }
      break;
    case Damage::kNumber: {  // the edges of a state, or of a length
      static constexpr std::array<uint32_t, 7> kEdges = {0, 1, 65535, 65536, 131071, 131072, 0xFFFFFFFF};
      const uint32_t number = kEdges[random.below(7)];
      for (size_t i = 0; i < std::min<size_t>(4, n - at); ++i)
        *place(at + i) = static_cast<uint8_t>(number >> (8 * i));
      break;
    }
  }
}

}  // namespace swathpack::fuzz
