#include "cli/progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "cli/figures.hpp"
#include "cli/session.hpp"

namespace vramd::cli {
namespace {
constexpr u32 progress_cells = 24;
}

std::string progress_text(const Step& step) {
    std::string text;
    if (step.total_bytes > 0) {
        const double share = 100.0 * static_cast<double>(step.done_bytes) / static_cast<double>(step.total_bytes);
        char percent[16];
        std::snprintf(percent, sizeof percent, "%3u %%", static_cast<u32>(share));  // Rounded down: 100 % is said when it is done.
        text = bar_text(share, progress_cells) + "  " + percent + "  " + size_text(step.done_bytes) + " of " + size_text(step.total_bytes);
    } else {
        text = size_text(step.done_bytes);
    }
    if (step.bytes_per_second && *step.bytes_per_second > 0) text += "  " + rate_text(*step.bytes_per_second);
    if (step.eta_ms && step.done_bytes < step.total_bytes) text += "  " + duration_text(*step.eta_ms) + " left";
    if (!step.stage.empty()) text += "  " + step.stage;
    return text;
}

Progress::Progress() : drawn_(is_screen(STDERR_FILENO) ? Drawn::as_bar : Drawn::as_lines) {}

void Progress::show(Step step) {
    furthest_bytes_ = std::max(furthest_bytes_, step.done_bytes);
    step.done_bytes = furthest_bytes_;
    if (drawn_ == Drawn::as_bar) {
        std::fprintf(stderr, "\r%s\x1b[K", progress_text(step).c_str());
        std::fflush(stderr);
        drawn_bar_ = true;
        return;
    }
    if (step.total_bytes == 0 || static_cast<u128>(step.done_bytes) * 10 < static_cast<u128>(next_tenth_) * step.total_bytes) return;
    next_tenth_ = static_cast<u64>(static_cast<u128>(step.done_bytes) * 10 / step.total_bytes) + 1;
    std::fprintf(stderr, "%s\n", progress_text(step).c_str());
    ++lines_;
}

void Progress::clear() {
    if (drawn_bar_) std::fputs("\r\x1b[K", stderr);
    drawn_bar_ = false;
}
}  // namespace vramd::cli
