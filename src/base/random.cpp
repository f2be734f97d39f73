#include "base/random.hpp"

#include <sys/random.h>

#include "base/invariant.hpp"

namespace vramd {
u64 random_secret() {
    u64 secret = 0;
    INVARIANT(getrandom(&secret, sizeof secret, 0) == static_cast<ssize_t>(sizeof secret));
    return secret;
}
}  // namespace vramd
