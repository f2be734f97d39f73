#include "device/cuda/pins.hpp"

#include <algorithm>

#include "device/cuda/channel.hpp"
#include "device/cuda/fixture.hpp"

namespace vramd::device::cuda {
namespace {
constexpr u64 memory_bytes = 40 * mib;  // Two whole pieces and a half.

/// Memory as a host device would map it; `alive` tells whether anybody holds it still.
struct HostMemory {
    explicit HostMemory(Mapping::Access access = Mapping::Access::read_write)
        : bytes(std::make_shared<std::vector<std::byte>>(memory_bytes)), mapping(bytes, *bytes, access), alive(bytes) {
        for (u64 i = 0; i < memory_bytes; ++i) (*bytes)[i] = static_cast<std::byte>(i * 13 + i / 8191);
    }
    std::shared_ptr<std::vector<std::byte>> bytes;
    Mapping mapping;
    std::weak_ptr<std::vector<std::byte>> alive;
};
std::shared_ptr<Context> context() {
    (void)Double::get();
    const auto libraries = Libraries::open().value();
    return Context::make(libraries, list_gpus(*libraries).value().front(), {}, 30 * ns_per_second).value();
}

/// A block of the GPU, the way to it, and what pins memory for it.
struct Pinning {
    std::shared_ptr<Context> gpu = context();
    std::shared_ptr<Pins> pins = std::make_shared<Pins>(gpu);
    std::shared_ptr<Block> block = made();
    CudaChannel way{{gpu, std::make_shared<Ring>(gpu), pins}, block, block->memory->address(gpu).value()};

private:
    [[nodiscard]] std::shared_ptr<Block> made() const {
        auto block_here = std::make_shared<Block>();
        block_here->memory = Memory::make(gpu, memory_bytes).value();
        return block_here;
    }
};
}  // namespace

TEST_CASE("memory that was pinned is copied by the GPU itself, across pieces, and let go of when nobody wants it any more") {
    const Calm calm;
    Pinning pinning;
    const auto& pins = pinning.pins;
    CudaChannel& way = pinning.way;
    HostMemory host;
    const std::vector<std::byte> expected = *host.bytes;
    const u64 before = Double::get().objects();
    pins->add(1, host.mapping);
    pins->add(1, host.mapping);
    pins->settle();
    CHECK(Double::get().objects() == before + 3);
    const u64 pinned = Double::get().objects();
    const auto bytes = std::span<const std::byte>(*host.bytes);
    REQUIRE(way.write(5, bytes.subspan(7, 35 * mib)).has_value());
    CHECK(Double::get().objects() < pinned + 6);  // A lane, and no slot of the ring.
    std::vector<std::byte> back(35 * mib);
    REQUIRE(way.read(5, back).has_value());
    CHECK(std::ranges::equal(back, std::span(expected).subspan(7, 35 * mib)));
    std::ranges::fill(*host.bytes, std::byte{0});
    REQUIRE(way.read(5, std::span(*host.bytes).subspan(7, 35 * mib)).has_value());
    CHECK(std::ranges::equal(bytes.subspan(7, 35 * mib), std::span(expected).subspan(7, 35 * mib)));
    host.bytes.reset();
    host.mapping = {};
    CHECK(!host.alive.expired());
    {
        const auto held = pins->find(bytes.first(1));
        REQUIRE(held != nullptr);
        pins->remove(1);
        pins->remove(1);
        pins->settle();
        CHECK(pins->find(bytes.first(1)) == nullptr);
        CHECK(!host.alive.expired());  // Somebody copies it still.
    }
    CHECK(host.alive.expired());
}

TEST_CASE("where memory cannot be pinned, or only in part, copies of it go through the ring") {
    const Calm calm;
    Pinning pinning;
    const auto& pins = pinning.pins;
    CudaChannel& way = pinning.way;
    const HostMemory sealed(Mapping::Access::read_only);
    Double::get().order("cuMemHostRegister_v2", 2, 1);
    pins->add(1, sealed.mapping);
    pins->settle();
    CHECK(pins->find(sealed.mapping.read().first(Pin::piece_bytes)) != nullptr);
    CHECK(pins->find(sealed.mapping.read().first(Pin::piece_bytes + 1)) == nullptr);
    REQUIRE(way.write(0, sealed.mapping.read()).has_value());
    std::vector<std::byte> back(memory_bytes);
    REQUIRE(way.read(0, back).has_value());
    CHECK(std::ranges::equal(back, sealed.mapping.read()));
    const HostMemory anew;
    pins->add(1, anew.mapping);  // The same block, mapped anew.
    pins->settle();
    CHECK(pins->find(sealed.mapping.read().first(1)) == nullptr);
    CHECK(pins->find(anew.mapping.read()) != nullptr);
    std::vector<std::byte> small(mib);
    pins->add(2, Mapping(nullptr, small, Mapping::Access::read_write));
    pins->settle();
    CHECK(pins->find(small) == nullptr);
}
}  // namespace vramd::device::cuda
