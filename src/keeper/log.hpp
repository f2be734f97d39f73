/// The keeper's log: lines on stderr by write(2), nothing more. Room-internal.
#pragma once
#include <unistd.h>

#include <string>

namespace vramd::keeper {
inline void write_line(int descriptor, std::string line) {
    line += '\n';
    std::size_t done = 0;
    while (done < line.size()) {
        const ssize_t written = write(descriptor, line.data() + done, line.size() - done);
        if (written <= 0) return;  // Nobody reads it; the keeper does not die of that.
        done += static_cast<std::size_t>(written);
    }
}
inline void log(const std::string& sentence) { write_line(STDERR_FILENO, "vramd: " + sentence); }
}  // namespace vramd::keeper
