#include "formats/wire.hpp"

#include <doctest/doctest.h>

#include "base/choices.hpp"
#include "formats/hand_built.hpp"
#include "formats/limits.hpp"

using namespace vramd;
using namespace vramd::formats;
using namespace vramd::formats::hand_built;

namespace {
Varint parsed(const std::string& bytes) { return parse_varint(std::as_bytes(std::span(bytes))); }

/// Fails every other read.
class Flaky : public MemoryFile {
public:
    using MemoryFile::MemoryFile;
    Result<void> read(u64 offset_bytes, std::span<std::byte> into) override {
        if (++reads_ % 2 == 1) {
            std::ranges::fill(into, std::byte{'?'});
            return refuse(Code::system_failed, "read", "the disk is gone");
        }
        return MemoryFile::read(offset_bytes, into);
    }

private:
    u64 reads_ = 0;
};
}  // namespace

TEST_CASE("varints of every length are read, and what is no 64-bit number is not") {
    for (const u64 value :
         {u64{0}, u64{1}, u64{127}, u64{128}, u64{16383}, u64{16384}, u64{1} << 35, u64{1} << 62, u64{1} << 63, UINT64_MAX}) {
        const std::string bytes = varint(value);
        CHECK(parsed(bytes + "more").value == value);
        CHECK(parsed(bytes + "more").size_bytes == bytes.size());
        CHECK(parsed(bytes.substr(0, bytes.size() - 1)).size_bytes == 0);
    }
    CHECK(parsed(std::string(9, '\xff') + "\x01").value == UINT64_MAX);
    CHECK(parsed(std::string(9, '\xff') + "\x02").size_bytes == 0);
    CHECK(parsed(std::string(10, '\x80') + std::string(1, '\0')).size_bytes == 0);
    CHECK(parsed("").size_bytes == 0);
}

TEST_CASE("a file may not hold more fields than the limit") {
    MemoryFile source(field(1, u64{1}) + field(1, u64{2}) + field(1, u64{3}));
    WireFile file(source);
    CHECK(file.fields_left == onnx_field_count_max);
    file.fields_left = 2;
    Fields fields(file, {0, source.size_bytes()});
    CHECK(fields.next().has_value());
    CHECK(fields.next().has_value());
    const auto third = fields.next();
    REQUIRE(!third.has_value());
    CHECK(third.error().limit == onnx_field_count_max);
}

TEST_CASE("a packed list longer than the window is read whole, whatever falls on the window's end") {
    for (u64 shift = 0; shift < 12; ++shift) {
        std::string content(shift, '\1');
        u64 count = shift;
        u64 sum = shift;
        for (u64 i = 0; content.size() < 3 * window_bytes; ++i, ++count) {
            const u64 value = i % 7 == 0 ? UINT64_MAX - i : i * i;
            content += varint(value);
            sum += value;
        }
        MemoryFile source(content);
        WireFile file(source);
        const auto done = each_varint(file, Field{1, Wire::bytes, 0, {0, content.size()}}, "list", [&](u64 value) -> Result<void> {
            --count;
            sum -= value;
            return {};
        });
        CHECK(done.has_value());
        CHECK(count == 0);
        CHECK(sum == 0);
    }
}

TEST_CASE("the window gives the file's bytes, wherever it is asked") {
    std::string bytes;
    SeededRandom random(7);
    for (u64 i = 0; i < 5 * window_bytes; ++i) bytes += static_cast<char>(random.below(256));
    MemoryFile source(bytes);
    Window window(source);
    Choices choices = Choices::from_seed(11);
    u64 at = 0;
    for (int i = 0; i < 5000; ++i) {
        at = choices.one_in(4) ? choices.below(bytes.size()) : std::min<u64>(at + choices.below(3000), bytes.size() - 1);
        const u64 size = std::min(choices.one_in(10) ? choices.below(window_bytes + 1) : choices.below(40), bytes.size() - at);
        const auto view = window.view(at, size);
        REQUIRE(view.has_value());
        REQUIRE((size == 0 || std::memcmp(view->data(), bytes.data() + at, size) == 0));
        REQUIRE(view->size() == size);
        const auto some = window.some(at, 1 + choices.below(100'000));
        REQUIRE(some.has_value());
        REQUIRE(!some->empty());
        REQUIRE(std::memcmp(some->data(), bytes.data() + at, some->size()) == 0);
    }
    CHECK(!window.view(bytes.size(), 1).has_value());
    CHECK(!window.view(UINT64_MAX, 1).has_value());
    CHECK(!window.some(bytes.size(), 1).has_value());
    CHECK(window.view(bytes.size(), 0).has_value());
}

TEST_CASE("a read that failed leaves nothing behind that could be taken for the file") {
    Flaky source(std::string(100, 'x'));
    Window window(source);
    const auto failed = window.view(0, 10);
    REQUIRE(!failed.has_value());
    CHECK(failed.error().code == Code::system_failed);
    const auto again = window.view(0, 10);
    REQUIRE(again.has_value());
    CHECK(again->front() == std::byte{'x'});
}

TEST_CASE("text is valid UTF-8 without NUL, nothing else") {
    for (const char* good : {"", "a", "ß", "€", "\U0001F600", "\u00e9\u4e2d", "\x7f"}) CHECK(is_text(good));
    for (const std::string& bad :
         std::vector<std::string>{std::string(1, '\0'), "\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80",
                                  "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xe2\x82"})
        CHECK(!is_text(bad));
}
