/// A trace of requests as text: CSV (RFC 4180) with a head, a request a line. docs/models.md tells users of it.
///
/// ```
/// timeMs,model,bytes,loadMs,useMs,pinned
/// 0,detector,104857600,41.5,200,
/// 350.25,"encoder, large",2147483648,820,1500,yes
/// 900,detector,,,,
/// ```
/// Columns may stand in any order; `timeMs` and `model` must be there, unknown ones are refused. `timeMs` must not go back; `bytes` must be
/// given at a model's first request and may be left out, or repeated, at later ones. Empty: no load measured, no use, not pinned. Times
/// have at most six decimals. Empty lines and those that begin with `#` say nothing. A quoted field ends in its line.
///
/// Whoever feeds it files of strangers loses nothing: memory is bounded by `TraceBuilder`, work per byte is constant but for a map's
/// look-up.
#pragma once
#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/trace.hpp"

namespace vramd::model {
/// The longest line.
inline constexpr u64 trace_line_bytes_max = 4096;

class TraceText {
public:
    /// The next line, without its line feed. Errors: `invalid_field` or `too_large`, with the number of the line (from 1) as value, the
    /// column as field (empty: the line as a whole) and a sentence. Nothing may follow an error.
    [[nodiscard]] Result<void> add_line(std::string_view line);
    /// Errors: `invalid_field` when there was no request at all.
    [[nodiscard]] Result<NamedTrace> finish() &&;

private:
    static constexpr std::size_t columns = 6;
    [[nodiscard]] Result<void> split(std::string_view line);
    [[nodiscard]] Result<void> read_head();
    [[nodiscard]] Result<void> read_request();
    [[nodiscard]] Result<u32> read_model();
    [[nodiscard]] Result<u64> read_time(std::size_t column) const;
    [[nodiscard]] std::string_view cell(std::size_t column) const;
    [[nodiscard]] std::unexpected<Error> wrong(std::string_view field, std::string why) const;

    TraceBuilder builder_;
    std::map<std::string, u32, std::less<>> models_;
    std::vector<std::string> cells_;                            ///< Of the present line.
    std::array<std::optional<std::size_t>, columns> places_{};  ///< Where each column stands.
    std::size_t width_ = 0;                                     ///< Columns of the head; 0: it did not come yet.
    u64 line_ = 0;
    u64 last_ns_ = 0;
};
}  // namespace vramd::model
