#include "device/spec.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace vramd::device {
namespace {
constexpr u64 name_length_max = 32;

std::unexpected<Error> bad_size(std::string_view text, std::string_view why) {
    return refuse(Code::invalid_field, "size",
                  "The size \"" + std::string(text) + "\" " + std::string(why) + "; write it like 512MiB, 4GiB or 80%.");
}
std::unexpected<Error> bad_device(std::string_view text, std::string_view why) {
    return refuse(
        Code::invalid_field, "device",
        "The device \"" + std::string(text) + "\" " + std::string(why) + "; write it like host, host:a=1GiB, cuda:0, d3d12:0 or auto.");
}

std::optional<u64> unit_bytes(std::string_view unit) {
    constexpr std::pair<std::string_view, u64> units[] = {{"", 1}, {"B", 1}, {"KiB", kib}, {"MiB", mib}, {"GiB", gib}, {"TiB", 1024 * gib}};
    for (const auto& [name, bytes] : units)
        if (name == unit) return bytes;
    return std::nullopt;
}

bool is_name(std::string_view text) {
    const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
    const auto allowed = [&](char c) { return lower(c) || (c >= '0' && c <= '9') || c == '-'; };
    return !text.empty() && text.size() <= name_length_max && lower(text.front()) && std::ranges::all_of(text, allowed);
}

constexpr Size cuda_default{Size::Unit::percent, 90};
constexpr Size d3d12_default{Size::Unit::percent, 50};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Without needless zeros.
bool is_index(std::string_view text) {
    return !text.empty() && text.size() <= 3 && std::ranges::all_of(text, is_digit) && (text.size() == 1 || text.front() != '0');
}

/// An index, or a UUID as nvidia-smi prints it.
bool is_gpu(std::string_view text) {
    if (is_index(text)) return true;
    constexpr std::string_view prefix = "GPU-";
    constexpr std::size_t uuid_length = 40;
    const auto hexadecimal = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || c == '-'; };
    return text.size() == uuid_length && text.starts_with(prefix) && std::ranges::all_of(text.substr(prefix.size()), hexadecimal);
}

/// What follows `cuda`: absent is not the same as empty.
Result<Spec> gpu_of(std::string_view text, std::optional<std::string_view> which) {
    Spec spec{"", cuda_default, SpecKind::cuda, std::string(which.value_or(""))};
    if (which && !is_gpu(*which)) return bad_device(text, "needs a GPU's index or its UUID, such as cuda:0 or cuda:GPU-5a0b…");
    return spec;
}

/// The same of `d3d12`.
Result<Spec> adapter_of(std::string_view text, std::optional<std::string_view> which) {
    if (which && !is_index(*which)) return bad_device(text, "needs an adapter's index, such as d3d12:0");
    return Spec{"", d3d12_default, SpecKind::d3d12, std::string(which.value_or(""))};
}

/// A spec whose id is empty when the text names none.
Result<Spec> parse_one(std::string_view text) {
    const auto equals = text.find('=');
    const std::string_view head = text.substr(0, equals);
    const auto colon = head.find(':');
    const std::string_view kind = head.substr(0, colon);
    if (kind != "host" && kind != "auto" && kind != "cuda" && kind != "d3d12")
        return bad_device(text, "is of no known kind (host, cuda, d3d12, auto)");
    const std::optional<std::string_view> which = colon == std::string_view::npos ? std::nullopt : std::optional(head.substr(colon + 1));
    Spec spec;
    if (kind == "auto") {
        if (text != "auto") return bad_device(text, "has more than the word auto");
        return spec;
    }
    if (kind == "cuda") {
        TRY(spec, gpu_of(text, which));
    } else if (kind == "d3d12") {
        TRY(spec, adapter_of(text, which));
    } else if (which) {
        spec.id = *which;
        if (!is_name(spec.id)) return bad_device(text, "needs a name of 1 to 32 of a-z, 0-9 and -, beginning with a letter");
    }
    if (equals != std::string_view::npos) {
        auto size = parse_size(text.substr(equals + 1));
        if (!size) return refuse(Code::invalid_field, "device", "The device \"" + std::string(text) + "\": " + size.error().detail);
        spec.size = *size;
    }
    return spec;
}

bool is_twice(const std::vector<Spec>& specs, const Spec& one) {
    const auto same = [&](const Spec& spec) {
        if (one.kind != SpecKind::host) return spec.kind == one.kind && spec.which == one.which;
        return !one.id.empty() && spec.id == one.id;
    };
    return std::ranges::any_of(specs, same);
}

bool is_taken(const std::vector<Spec>& specs, std::string_view id) {
    return std::ranges::any_of(specs, [&](const Spec& spec) { return spec.id == id; });
}
}  // namespace

Result<Size> parse_size(std::string_view text) {
    u64 number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty()) return bad_size(text, "is empty");
    if (error == std::errc::result_out_of_range) return bad_size(text, "is too large");
    if (error != std::errc()) return bad_size(text, "is not a number");
    if (number == 0) return bad_size(text, "is zero");
    const std::string_view unit(end, text.data() + text.size());
    if (unit == "%") {
        if (number > 100) return bad_size(text, "is above 100 %");
        return Size{Size::Unit::percent, number};
    }
    const auto bytes = unit_bytes(unit);
    if (!bytes) return bad_size(text, "has an unknown unit");
    if (number > number_max / *bytes) return bad_size(text, "is too large");
    return Size{Size::Unit::bytes, number * *bytes};
}

Result<std::vector<Spec>> parse_specs(std::span<const std::string> texts) {
    const Spec every_gpu{"", cuda_default, SpecKind::every_cuda, ""};
    std::vector<Spec> specs;
    for (const std::string& text : texts) {
        TRY(Spec spec, parse_one(text));
        if (is_twice(specs, spec) || (text == "auto" && is_twice(specs, every_gpu)))
            return bad_device(text, "has a name that another --device has");
        specs.push_back(std::move(spec));
        if (text == "auto") specs.push_back(every_gpu);
    }
    if (texts.empty()) specs = {Spec{}, every_gpu};
    // Numbers go to the nameless last, so that an explicit host:host0 keeps its name wherever it stands.
    u64 number = 0;
    for (Spec& spec : specs) {
        if (!spec.id.empty() || spec.kind != SpecKind::host) continue;
        std::string id;
        do id = "host" + std::to_string(number++);
        while (is_taken(specs, id));
        spec.id = std::move(id);
    }
    return specs;
}

Result<u64> resolve_size(const Size& size, u64 available_bytes, u64 granularity_bytes) {
    const u64 wanted = size.unit == Size::Unit::bytes ? size.amount : static_cast<u64>(u128{available_bytes} * size.amount / 100);
    const u64 rounded = round_down(wanted, granularity_bytes);
    if (rounded == 0)
        return refuse(
            Code::invalid_field, "size",
            "The device would have " + std::to_string(wanted) + " bytes; the least is " + std::to_string(granularity_bytes) + ".");
    return rounded;
}
}  // namespace vramd::device
