#include "ledger/reader.hpp"

#include <algorithm>
#include <system_error>

#include "ledger/directory.hpp"
#include "ledger/segment.hpp"

namespace vramd::ledger {
namespace {
enum class Listed : u8 { archived, live };
struct Candidate {
    u64 number = 0;
    Listed listed = Listed::archived;
    std::filesystem::path path;
};

/// The live ones are listed first: one that is archived meanwhile is then in both lists, never in neither.
Result<std::vector<Candidate>> candidates(const std::filesystem::path& directory) {
    std::vector<Candidate> list;
    for (const Listed listed : {Listed::live, Listed::archived}) {
        TRY(const auto files, list_numbered(listed == Listed::live ? directory : directory / "archive", segment_prefix));
        for (const NumberedFile& file : files) list.push_back({file.number, listed, file.path});
    }
    // A life that ended without an event left its number to the next one's file, which comes after it.
    std::ranges::sort(list, {}, [](const Candidate& candidate) { return std::pair(candidate.number, candidate.listed); });
    return list;
}

/// Nothing: it was archived since it was listed and is in that list too, or history was trimmed.
Result<std::shared_ptr<Segment>> read_in(const std::filesystem::path& directory, const Candidate& candidate) {
    std::error_code error;
    auto segment = Segment::read_copy(candidate.path);
    if (segment || std::filesystem::exists(candidate.path, error)) return segment;
    const auto archived = directory / "archive" / candidate.path.filename();
    if (candidate.listed == Listed::live && std::filesystem::exists(archived, error)) return Segment::read_copy(archived);
    return nullptr;
}

class Reading {
public:
    Reading(FilesRead& read, const Visitor& visitor) : read_(read), visitor_(visitor) {}

    Result<Visit> visit(const std::shared_ptr<Segment>& segment, const std::string& name) {
        read_.segments += 1;
        if (!segment->head_holds()) {
            read_.damages.push_back({name, 0, 0, "Its head is not one of a ledger's segment."});
            return Visit::more;
        }
        Cursor cursor(segment);
        while (true) {
            const Cursor::Met met = cursor.step(Cursor::Verify::sums);
            if (met == Cursor::Met::end) return Visit::more;
            if (met == Cursor::Met::damage) {
                read_.damages.push_back({name, cursor.offset_bytes(), cursor.last_sequence() + 1, cursor.why()});
                return Visit::more;
            }
            if (cursor.batch().first_sequence <= read_.last_sequence) continue;  // Seen before it was archived.
            read_.batches += 1;
            if (read_.first_sequence == 0) read_.first_sequence = cursor.batch().first_sequence;
            read_.last_sequence = cursor.last_sequence();
            TRY(const Visit next, visitor_(cursor.batch()));
            if (next == Visit::enough) return next;
        }
    }

private:
    FilesRead& read_;
    const Visitor& visitor_;
};
}  // namespace

Result<FilesRead> read_files(const std::filesystem::path& directory, const Visitor& visitor) {
    TRY(const auto list, candidates(directory));
    if (list.empty()) return refuse(Code::not_found, "ledger", "There is no ledger: no file ledger-NNNNNNNNNNNNNNNNNNNN lies there.");
    FilesRead read;
    Reading reading(read, visitor);
    for (const Candidate& candidate : list) {
        TRY(const auto segment, read_in(directory, candidate));
        if (segment == nullptr) continue;
        TRY(const Visit next, reading.visit(segment, candidate.path.filename()));
        if (next == Visit::enough) break;
    }
    return read;
}
}  // namespace vramd::ledger
