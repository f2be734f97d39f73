// The index of a safetensors model in several files.
#include <algorithm>

#include "formats/json_events.hpp"
#include "formats/limits.hpp"
#include "formats/refusal.hpp"
#include "formats/safetensors.hpp"

namespace vramd::formats {
namespace {
constexpr std::string_view place = "weight_map";

/// Listens to the index. Unknown members are skipped, whatever they hold.
class IndexListener : public JsonListener {
public:
    ShardIndex index;
    FileNames files;
    bool map_seen = false;

    Result<void> object_begins() override {
        if (depth_ == 1 && member_ == Member::weight_map) map_seen = true;
        if (depth_ >= 2 && member_ == Member::weight_map) return invalid(place, "a tensor is mapped to an object, not to a file's name");
        ++depth_;
        return {};
    }
    Result<void> object_ends() override { return leave(); }
    Result<void> array_begins() override {
        if (depth_ == 0) return invalid("index", "it is an array, not an object");
        if (member_ == Member::weight_map) return invalid(place, "an array stands where the format has none");
        ++depth_;
        return {};
    }
    Result<void> array_ends() override { return leave(); }
    Result<void> key(std::string_view text) override {
        if (depth_ == 1) {
            member_ = text == place ? Member::weight_map : text == "metadata" ? Member::metadata : Member::unknown;
            if (member_ == Member::weight_map && map_seen) return invalid(place, "it occurs twice");
        } else if (member_ != Member::unknown) {
            key_ = text;
        }
        return {};
    }
    Result<void> string(std::string_view text) override {
        if (depth_ != 2 || member_ != Member::weight_map) return scalar(text);
        TRY_DO(check_name(place, key_));
        if (index.entries.size() == tensor_count_max) return beyond(place, "the number of tensors", tensor_count_max + 1, tensor_count_max);
        names_bytes_ += key_.size();
        if (names_bytes_ > names_bytes_max) return beyond(place, "the length of all tensor names", names_bytes_, names_bytes_max);
        TRY(const u32 file, files.index_of(key_, text));
        index.entries.push_back({key_, file});
        return {};
    }
    Result<void> number(u64 value) override { return scalar(std::to_string(value)); }
    Result<void> other(std::string_view text) override { return scalar(text); }

private:
    enum class Member : u8 { unknown, metadata, weight_map };
    Result<void> leave() {
        --depth_;
        return {};
    }
    Result<void> scalar(std::string_view text) {
        if (depth_ == 0) return invalid("index", "it is not an object");
        if (member_ == Member::weight_map) return invalid(place, "'", place_text(text), "' stands where a file's name belongs");
        if (member_ == Member::metadata && depth_ == 2) keep(index.metadata, key_, text);
        return {};
    }
    u64 depth_ = 0;
    u64 names_bytes_ = 0;
    Member member_ = Member::unknown;
    std::string key_;
};

/// Sorts the files by name and lets the entries follow.
void sort_files(ShardIndex& index, const std::vector<std::string>& mentioned) {
    index.files = mentioned;
    std::ranges::sort(index.files);
    std::vector<u32> moved(mentioned.size() + 1);
    for (std::size_t i = 0; i < mentioned.size(); ++i)
        moved[i + 1] = static_cast<u32>(std::ranges::lower_bound(index.files, mentioned[i]) - index.files.begin() + 1);
    for (ShardIndex::Entry& entry : index.entries) entry.file = moved[entry.file];
}
}  // namespace

Result<ShardIndex> read_shard_index(Source& main) {
    Window file(main);
    if (file.size_bytes() > index_bytes_max) return beyond("index", "the index's length", file.size_bytes(), index_bytes_max);
    IndexListener listener;
    TRY_DO(read_json(file, 0, file.size_bytes(), "index", listener));
    if (!listener.map_seen) return invalid("index", "it has no object weight_map");
    ShardIndex index = std::move(listener.index);
    std::ranges::sort(index.entries, {}, &ShardIndex::Entry::name);
    const auto twice = std::ranges::adjacent_find(index.entries, {}, &ShardIndex::Entry::name);
    if (twice != index.entries.end()) return invalid(twice->name, "the weight_map names it twice");
    sort_files(index, listener.files.names());
    return index;
}

Result<Header> read_shards(ShardIndex index, std::span<Source* const> sources) {
    TensorList tensors;
    u64 taken = 0;
    std::vector<bool> seen(index.entries.size());
    for (u32 file = 1; file < sources.size(); ++file) {
        TRY(auto shard, read_safetensors(*sources[file], file));
        for (Found& found : shard.tensors) {
            const auto entry = std::ranges::lower_bound(index.entries, found.name, {}, &ShardIndex::Entry::name);
            if (entry == index.entries.end() || entry->name != found.name || entry->file != file) continue;
            const auto position = static_cast<std::size_t>(entry - index.entries.begin());
            seen[position] = true;  // Not seen before: a name occurs once in a shard, and its entry names one shard.
            ++taken;
            TRY_DO(tensors.add(std::move(found)));
        }
        for (const Metadata& pair : shard.metadata)
            if (std::ranges::find(index.metadata, pair.key, &Metadata::key) == index.metadata.end())
                keep(index.metadata, pair.key, pair.value);
    }
    if (taken != index.entries.size()) {
        const auto missing = static_cast<std::size_t>(std::ranges::find(seen, false) - seen.begin());
        const auto& entry = index.entries[missing];
        return invalid(entry.name, "the index says that it lies in '", index.files[entry.file - 1], "', but it does not");
    }
    return Header{tensors.take(), std::move(index.metadata)};
}
}  // namespace vramd::formats
