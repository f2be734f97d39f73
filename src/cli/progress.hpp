/// Progress on stderr: a bar that is redrawn on a terminal, one line per 10 % elsewhere. It never goes backwards.
#pragma once
#include <optional>
#include <string>

#include "base/types.hpp"

namespace vramd::cli {
/// How far something is.
struct Step {
    std::string stage;
    u64 done_bytes = 0;
    u64 total_bytes = 0;  ///< 0: not known yet.
    std::optional<u64> bytes_per_second;
    std::optional<double> eta_ms;
};

enum class Drawn : u8 { as_bar, as_lines };

/// "[####----]  42 %  1.20 GiB of 2.80 GiB  2.10 GiB/s  0.8 s left  reading".
[[nodiscard]] std::string progress_text(const Step& step);

/// Not synchronised.
class Progress {
public:
    /// Draws a bar if stderr is a terminal.
    Progress();
    explicit Progress(Drawn drawn) : drawn_(drawn) {}
    ~Progress() { clear(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void show(Step step);
    /// Takes the bar away.
    void clear();
    /// Lines drawn so far, for a test.
    [[nodiscard]] u64 lines() const { return lines_; }

private:
    Drawn drawn_;
    u64 furthest_bytes_ = 0;
    u64 next_tenth_ = 1;
    u64 lines_ = 0;
    bool drawn_bar_ = false;
};
}  // namespace vramd::cli
