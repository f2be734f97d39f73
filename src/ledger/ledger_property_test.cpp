/// The ledger against the simplest thing that could be right: a list of batches and the number of the last snapshot.
#include "base/choices.hpp"
#include "ledger/ledger_bed.hpp"

using namespace vramd;
using namespace vramd::ledger;

namespace {
struct Model {
    std::vector<Told> batches;
    u64 sequence = 0;
    u64 base = 0;  ///< The snapshot's, or where this life began.
    std::optional<std::string> state;
    u64 life = 1;

    [[nodiscard]] std::vector<Told> after(u64 from, u64 to = number_max) const {
        std::vector<Told> found;
        for (const Told& told : batches)
            if (told.first_sequence + told.events.size() > from && told.first_sequence <= to) found.push_back(told);
        return found;
    }
};

void append_some(Ledger& ledger, Model& model, Choices& choices) {
    std::vector<std::string> events(1 + choices.below(4));
    for (std::string& event : events) event.assign(choices.below(choices.one_in(8) ? 900 : 60), static_cast<char>('a' + choices.below(26)));
    std::vector<std::vector<std::byte>> batch;
    for (const std::string& event : events) batch.push_back(bytes_of(event));
    const auto first = ledger.append(model.sequence, batch);
    if (!first) {
        REQUIRE((first.error().code == Code::read_only || first.error().code == Code::too_large));
        REQUIRE(ledger.sequence() == model.sequence);
        return;
    }
    REQUIRE(*first == model.sequence + 1);
    model.batches.push_back({*first, model.sequence, events});
    model.sequence += events.size();
}

void snapshot_now(Ledger& ledger, Model& model, Choices& choices) {
    if (model.sequence <= model.base) return;
    // A batch's end after the base: a state is taken between appends.
    const auto since = model.after(model.base + 1);
    const Told& last = since[choices.below(since.size())];
    model.base = last.first_sequence + last.events.size() - 1;
    model.state = "state at " + std::to_string(model.base) + std::string(choices.below(3000), '.');
    REQUIRE(ledger.snapshot(model.base, bytes_of(*model.state)).has_value());
}

void check_opened(const Opened& open, const Model& model) {
    REQUIRE(open.findings.damages.empty());
    REQUIRE(open.ledger->sequence() == model.sequence);
    REQUIRE(open.snapshot.has_value() == model.state.has_value());
    if (model.state) {
        REQUIRE(open.snapshot->sequence == model.base);
        REQUIRE(text_of(open.snapshot->state) == *model.state);
    }
    REQUIRE(replayed(*open.ledger) == model.after(model.base + 1));
}

void run(u64 seed) {
    const Bed bed(Bed::On::memory);
    Choices choices = Choices::from_seed(seed);
    Model model;
    const auto options = [&] { return bed.options("life-" + std::to_string(model.life)); };
    Opened open = opened(options());
    for (int step = 0; step < 250; ++step) {
        switch (choices.below(24)) {
            case 0:
                snapshot_now(*open.ledger, model, choices);
                break;
            case 1:
                if (choices.one_in(4)) {
                    ++model.life;
                    model.base = model.sequence;
                    model.state.reset();
                }
                open = {};
                open = opened(options());
                check_opened(open, model);
                break;
            case 2: {
                const u64 from = 1 + choices.below(model.sequence + 2);
                const u64 to = from + choices.below(50);
                REQUIRE(history(*open.ledger, from, to) == model.after(from, to));
                break;
            }
            default:
                append_some(*open.ledger, model, choices);
        }
    }
    REQUIRE(history(*open.ledger) == model.batches);
}
}  // namespace

TEST_CASE("whatever is appended, kept, reopened or begun anew, the ledger tells what a plain list would") {
    for (u64 seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        run(seed);
    }
}
