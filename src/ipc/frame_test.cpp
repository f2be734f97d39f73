#include "ipc/frame.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

namespace vramd::ipc {
namespace {
std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
}
std::pair<Channel, Channel> connected() {
    auto ends = Channel::make_pair();
    REQUIRE(ends.has_value());
    return std::move(*ends);
}
}  // namespace

TEST_CASE("a frame arrives as it was sent, with its descriptors") {
    auto [here, there] = connected();
    const Fd memory(memfd_create("lent", MFD_CLOEXEC));
    REQUIRE(write(memory.get(), "abc", 3) == 3);
    const std::array fds = {memory.get()};
    REQUIRE(here.send("hello", fds).has_value());
    const auto got = there.receive(Descriptors::taken);
    REQUIRE(got.has_value());
    CHECK(got->kind == Received::Kind::frame);
    CHECK(got->text == "hello");
    REQUIRE(got->fds.size() == 1);
    std::array<char, 3> text{};
    CHECK(pread(got->fds[0].get(), text.data(), 3, 0) == 3);
    CHECK(std::string_view(text.data(), 3) == "abc");
    CHECK((fcntl(got->fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a frame of 64 KiB passes, an empty or longer one is refused before it is sent") {
    auto [here, there] = connected();
    const std::string longest(frame_bytes_max, 'x');
    REQUIRE(here.send(longest).has_value());
    CHECK(there.receive(Descriptors::refused)->text == longest);
    CHECK(here.send(longest + "x").error().code == Code::too_large);
    CHECK(here.send("").error().code == Code::too_large);
}

TEST_CASE("a frame that is too long on the wire is refused") {
    auto [here, there] = connected();
    const std::string longer(frame_bytes_max + 1, 'x');
    REQUIRE(::send(here.descriptor(), longer.data(), longer.size(), 0) == static_cast<ssize_t>(longer.size()));
    const auto got = there.receive(Descriptors::taken);
    REQUIRE(!got.has_value());
    CHECK(got.error().code == Code::malformed_request);
}

TEST_CASE("descriptors sent to one who refuses them are never installed, and the sender is known for it") {
    auto [here, there] = connected();
    const std::array fds = {0, 1, 2};
    for (int i = 0; i < 20; ++i) {
        const std::size_t before = open_descriptors();
        REQUIRE(here.send("with descriptors", fds).has_value());
        const auto got = there.receive(Descriptors::refused);
        REQUIRE(!got.has_value());
        CHECK(got.error().code == Code::malformed_request);
        CHECK(open_descriptors() == before);
    }
}

TEST_CASE("more descriptors than may come are all closed") {
    auto [here, there] = connected();
    constexpr std::size_t count = 253;  // The kernel's own limit, three above ours.
    alignas(cmsghdr) std::array<unsigned char, CMSG_SPACE(sizeof(int) * count)> control{};
    char byte = 'x';
    iovec part{&byte, 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    for (std::size_t i = 0; i < count; ++i) {
        const int fd = 0;
        std::memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
    }
    const std::size_t before = open_descriptors();
    REQUIRE(sendmsg(here.descriptor(), &message, 0) == 1);
    const auto got = there.receive(Descriptors::taken);
    REQUIRE(!got.has_value());
    CHECK(got.error().code == Code::malformed_request);
    CHECK(open_descriptors() == before);
}

TEST_CASE("a peer that is gone is told apart from one that is silent") {
    auto [here, there] = connected();
    REQUIRE(there.set_non_blocking().has_value());
    CHECK(there.receive(Descriptors::refused)->kind == Received::Kind::nothing);
    REQUIRE(here.send("last words").has_value());
    here.close();
    CHECK(there.receive(Descriptors::refused)->text == "last words");
    CHECK(there.receive(Descriptors::refused)->kind == Received::Kind::closed);
    CHECK(there.send("to nobody").error().code == Code::system_failed);
}

TEST_CASE("a peer that takes nothing makes a sender busy instead of blocking it") {
    auto [here, there] = connected();
    REQUIRE(here.set_non_blocking().has_value());
    Result<void> sent;
    int frames = 0;
    for (; sent && frames < 100'000; ++frames) sent = here.send("0123456789");
    REQUIRE(!sent.has_value());
    CHECK(sent.error().code == Code::busy);
}

TEST_CASE("the kernel says who the peer is") {
    auto [here, there] = connected();
    const auto peer = here.peer();
    REQUIRE(peer.has_value());
    CHECK(*peer == Peer{getpid(), geteuid(), getegid()});
}
}  // namespace vramd::ipc
