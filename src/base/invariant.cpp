#include "base/invariant.hpp"

#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace vramd {
namespace {
void say(const char* text) noexcept {
    (void)!write(STDERR_FILENO, text, std::strlen(text)); /* About to abort: nothing to do if stderr is gone. */
}
}  // namespace

void invariant_broken(const char* condition, const char* file, int line) noexcept {
    char digits[12];
    char* cursor = digits + sizeof digits - 1;
    *cursor = '\0';
    for (int rest = line; rest > 0; rest /= 10) *--cursor = static_cast<char>('0' + rest % 10);
    say("invariant broken: ");
    say(condition);
    say(" at ");
    say(file);
    say(":");
    say(cursor);
    say("\n");
    std::abort();
}
}  // namespace vramd
