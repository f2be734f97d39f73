#include "http/chunked.hpp"

#include "base/invariant.hpp"

namespace vramd::http {
namespace {
constexpr u64 beside_bytes_max = 8 * kib;

std::unexpected<Error> malformed(std::string detail) { return refuse(Code::malformed_request, {}, std::move(detail)); }
/// Of a field's name (RFC 9110, 5.6.2).
bool is_name_char(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || std::string_view("!#$%&'*+-.^_`|~").contains(c);
}
bool is_control(char c) { return (static_cast<u8>(c) < 0x20 && c != '\t') || c == 0x7f; }
}  // namespace

Result<u64> ChunkDecoder::feed(std::string_view bytes) {
    u64 taken = 0;
    while (taken < bytes.size() && state_ != State::data && state_ != State::done) TRY_DO(step(bytes[taken++]));
    return taken;
}

void ChunkDecoder::take(u64 size_bytes) {
    INVARIANT(size_bytes <= data_left_bytes_);
    data_left_bytes_ -= size_bytes;
    if (data_left_bytes_ == 0) state_ = State::data_cr;
}

Result<void> ChunkDecoder::step(char c) {
    switch (state_) {
        case State::size:
        case State::extension:
            return step_size(c);
        case State::size_lf:
            if (c != '\n') return malformed("A chunk's size line has a carriage return inside.");
            state_ = size_ == 0 ? State::trailer_start : State::data;
            data_left_bytes_ = size_;
            return {};
        case State::data_cr:
            if (c != '\r') return malformed("A chunk has more bytes than its size says.");
            state_ = State::data_lf;
            return {};
        case State::data_lf:
            if (c != '\n') return malformed("A chunk does not end with a line end.");
            state_ = State::size;
            size_ = 0;
            digits_ = 0;
            return {};
        default:
            return step_trailer(c);
    }
}

Result<void> ChunkDecoder::step_size(char c) {
    if (c == '\r') {
        if (digits_ == 0) return malformed("A chunk's size is missing.");
        state_ = State::size_lf;
        return {};
    }
    if (state_ == State::extension) {
        if (is_control(c)) return malformed("A chunk's extension has a control character or a bare line feed.");
        if (++skipped_bytes_ > beside_bytes_max) return malformed("The chunks' extensions are too long.");
        return {};
    }
    if (c == ';' && digits_ > 0) {
        state_ = State::extension;
        return {};
    }
    u32 value = 0;
    if (c >= '0' && c <= '9')
        value = static_cast<u32>(c - '0');
    else if (c >= 'a' && c <= 'f')
        value = static_cast<u32>(c - 'a' + 10);
    else if (c >= 'A' && c <= 'F')
        value = static_cast<u32>(c - 'A' + 10);
    else
        return malformed("A chunk's size is not a hexadecimal number.");
    if (++digits_ > 16 || size_ > (number_max >> 4)) return malformed("A chunk's size is too large.");
    size_ = size_ * 16 + value;
    return {};
}

Result<void> ChunkDecoder::step_trailer(char c) {
    if (++skipped_bytes_ > beside_bytes_max) return malformed("The trailers are too long.");
    switch (state_) {
        case State::trailer_start:
            if (c == '\r') {
                state_ = State::end_lf;
                return {};
            }
            if (!is_name_char(c)) return malformed("A trailer is not a header field.");
            state_ = State::trailer_name;
            return {};
        case State::trailer_name:
            if (c != ':' && !is_name_char(c)) return malformed("A trailer is not a header field.");
            if (c == ':') state_ = State::trailer;
            return {};
        case State::trailer:
            if (c == '\r')
                state_ = State::trailer_lf;
            else if (is_control(c))
                return malformed("A trailer has a control character or a bare line feed.");
            return {};
        case State::trailer_lf:
            if (c != '\n') return malformed("A trailer has a carriage return inside.");
            state_ = State::trailer_start;
            return {};
        default:  // end_lf
            if (c != '\n') return malformed("The last chunk does not end with a line end.");
            state_ = State::done;
            return {};
    }
}
}  // namespace vramd::http
