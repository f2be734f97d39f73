/// Clients' holds: what they are given, and that nothing takes it from under them.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/test_daemon.hpp"

using namespace vramd;
using namespace vramd::engine;

namespace {

AllocationId allocated(Daemon& daemon, u64 size_bytes, AllocationType type, bool shareable = false, bool persistent = true) {
    AllocateCommand command;
    command.caller = me;
    command.size_bytes = size_bytes;
    command.type = type;
    command.shareable = shareable;
    command.persistent = persistent;
    command.lease_seconds = 1;
    std::promise<Result<Allocated>> answer;
    daemon.core->allocate(std::move(command), 0, [&answer](Result<Allocated> result) { answer.set_value(std::move(result)); });
    return answer.get_future().get().value().record.id;
}

/// A client's mapping of what it was given.
class Mapped {
public:
    Mapped(Attachment& attachment, int protection, int flags) : memory_(attachment.take_memory()), bytes_(attachment.size_bytes()) {
        at_ = mmap(nullptr, bytes_, protection, flags, memory_.get(), static_cast<off_t>(attachment.offset_bytes()));
    }
    ~Mapped() {
        if (at_ != MAP_FAILED) munmap(at_, bytes_);
    }
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;
    [[nodiscard]] bool there() const { return at_ != MAP_FAILED; }
    [[nodiscard]] char* bytes() const { return static_cast<char*>(at_); }
    [[nodiscard]] int access() const { return fcntl(memory_.get(), F_GETFL) & O_ACCMODE; }

private:
    Fd memory_;
    u64 bytes_;
    void* at_ = nullptr;
};

char first_byte(Daemon& daemon, AllocationId id) {
    const auto content = daemon.core->open_content(admin, id, Access::read).value();
    return static_cast<char>(content->view(0, 1).value()[0]);
}
}  // namespace

TEST_CASE("a client writes its own memory in place, reads it in place, and has a private copy that nobody else sees") {
    Daemon daemon;
    const AllocationId id = allocated(daemon, 10'000, AllocationType::mapped);
    const auto writing = daemon.core->attach(me, id, AttachMode::write).value();
    CHECK(writing->size_bytes() == 10'000);
    const Mapped own(*writing, PROT_READ | PROT_WRITE, MAP_SHARED);
    REQUIRE(own.there());
    own.bytes()[0] = 'a';
    CHECK(first_byte(daemon, id) == 'a');
    const auto reading = daemon.core->attach(me, id, AttachMode::read).value();
    const Mapped read(*reading, PROT_READ, MAP_SHARED);
    REQUIRE(read.there());
    CHECK(read.access() == O_RDONLY);
    const auto copying = daemon.core->attach(me, id, AttachMode::private_).value();
    const Mapped copy(*copying, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    REQUIRE(copy.there());
    copy.bytes()[0] = 'b';
    CHECK(read.bytes()[0] == 'a');
    CHECK(daemon.core->allocation(me, id)->attached_clients == 3);
}

TEST_CASE("memory that a client has attached is not freed, and can be right after it lets go") {
    Daemon daemon;
    const AllocationId id = allocated(daemon, 10'000, AllocationType::mapped);
    auto held = daemon.core->attach(me, id, AttachMode::read).value();
    const auto refused = daemon.free("me", id);
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code == Code::leased);
    CHECK(refused.error().detail.find("attachedClients is 1") != std::string::npos);
    CHECK(daemon.free("other", id).error().code == Code::not_found);
    held.reset();
    CHECK(daemon.core->allocation(me, id)->attached_clients == 0);
    CHECK(daemon.free("me", id).has_value());
    CHECK(daemon.core->attach(me, id, AttachMode::read).error().code == Code::not_found);
}

TEST_CASE("another's memory is attached to read if it is shareable, and is sealed by that; else it answers as a missing one") {
    Daemon daemon;
    const AllocationId plain = allocated(daemon, 10'000, AllocationType::mapped);
    const AllocationId shared = allocated(daemon, 10'000, AllocationType::default_, true);
    AllocationId missing = shared;
    missing.secret += 1;
    const auto detail = [&](AllocationId id, AttachMode mode) {
        const auto refused = daemon.core->attach(other, id, mode);
        REQUIRE(!refused.has_value());
        CHECK(refused.error().code == Code::not_found);
        std::string text = refused.error().detail;
        return text.erase(text.find(to_text(id)), to_text(id).size());
    };
    CHECK(detail(plain, AttachMode::read) == detail(missing, AttachMode::read));
    CHECK(detail(shared, AttachMode::write) == detail(missing, AttachMode::write));
    const auto writing = daemon.core->attach(me, shared, AttachMode::write).value();
    const Mapped own(*writing, PROT_READ | PROT_WRITE, MAP_SHARED);
    own.bytes()[0] = 'x';
    const auto reading = daemon.core->attach(other, shared, AttachMode::read).value();
    const Mapped read(*reading, PROT_READ, MAP_SHARED);
    CHECK(read.bytes()[0] == 'x');
    own.bytes()[0] = 'y';  // Who mapped it before the seal goes on.
    CHECK(read.bytes()[0] == 'y');
    CHECK(daemon.core->attach(me, shared, AttachMode::write).error().code == Code::conflict);
    CHECK(daemon.core->allocation(me, shared)->attached_clients == 2);
}

TEST_CASE("memory that lies with others in one block is given to nobody, and the refusal says what to ask for") {
    Daemon daemon;
    const AllocationId id = allocated(daemon, 100, AllocationType::default_);
    const auto refused = daemon.core->attach(me, id, AttachMode::write);
    REQUIRE(!refused.has_value());
    CHECK(refused.error().code == Code::unsupported);
    CHECK(refused.error().detail.find("\"mapped\"") != std::string::npos);
    CHECK(daemon.core->allocation(me, id)->attached_clients == 0);
    CHECK(daemon.core->attach(me, id, std::nullopt).has_value());
    CHECK(daemon.free("me", id).has_value());
}

TEST_CASE("a lease does not run out under a client") {
    Daemon daemon;
    const AllocationId id = allocated(daemon, 10'000, AllocationType::mapped, false, false);
    auto held = daemon.core->attach(me, id, AttachMode::read).value();
    const AllocationId later = allocated(daemon, 10'000, AllocationType::mapped, false, false);
    const u64 deadline = monotonic_ns() + 20 * ns_per_second;
    while (daemon.core->allocation(me, later) && monotonic_ns() < deadline) std::this_thread::yield();
    CHECK(!daemon.core->allocation(me, later).has_value());
    CHECK(daemon.core->allocation(me, id).has_value());
    held.reset();
    while (daemon.core->allocation(me, id) && monotonic_ns() < deadline) std::this_thread::yield();
    CHECK(!daemon.core->allocation(me, id).has_value());
}

TEST_CASE("a model is attached by anybody to read and by nobody to write, and stays loaded meanwhile") {
    Daemon daemon;
    daemon.end();
    daemon.loading = std::make_shared<ScriptedLoading>();
    daemon.start();
    REQUIRE(daemon.load().has_value());
    const AllocationId id = daemon.core->model("m")->best().allocation;
    CHECK(daemon.core->devices()[0].books.reclaimable_bytes > 0);
    auto reading = daemon.core->attach(other, id, AttachMode::read).value();
    const Mapped read(*reading, PROT_READ, MAP_SHARED);
    REQUIRE(read.there());
    CHECK(read.access() == O_RDONLY);
    CHECK(daemon.core->attach(admin, id, AttachMode::write).error().code == Code::conflict);
    CHECK(daemon.core->model("m")->attached_clients == 1);
    CHECK(daemon.core->devices()[0].books.reclaimable_bytes == 0);
    const auto unload = [&daemon] {
        std::promise<Result<Freed>> answer;
        daemon.core->unload_model({admin, "m", {}, UnloadModelCommand::Cached::drop},
                                  [&answer](Result<Freed> result) { answer.set_value(std::move(result)); });
        return answer.get_future().get();
    };
    CHECK(unload().error().code == Code::leased);
    CHECK(unload().error().detail.find("attachedClients is 1") != std::string::npos);
    reading.reset();
    CHECK(unload().has_value());
    CHECK(daemon.core->audit().ok);
}

TEST_CASE("a client's memory stays on its device: a move is refused, and the refusal says so") {
    Daemon daemon;
    daemon.end();
    daemon.capacities["b"] = 64 * mib;
    daemon.start();
    const AllocationId id = allocated(daemon, 10'000, AllocationType::mapped);
    auto held = daemon.core->attach(me, id, AttachMode::read).value();
    TransferCommand command;
    command.caller = me;
    command.source = id;
    command.target_device_id = "b";
    command.mode = TransferMode::move;
    command.secret = command.allocation_secret = random_secret();
    std::promise<Result<report::TransferTold>> answer;
    daemon.core->transfer(command, Engine::Until::ended,
                          [&answer](Result<report::TransferTold> told) { answer.set_value(std::move(told)); });
    const auto told = answer.get_future().get();
    REQUIRE(!told.has_value());
    CHECK(told.error().code == Code::leased);
    CHECK(daemon.core->allocation(me, id)->device_id == "a");
}
