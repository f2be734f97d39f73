#include "core/memory/suballocator_dump.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace vramd;
using namespace vramd::memory;

TEST_CASE("the JSON of a space lists its totals and every live range and hole in address order") {
    SubAllocator space(4096);
    const Handle first = space.allocate(500, 256)->handle;
    REQUIRE(space.allocate(1000, 256));
    CHECK(space.free(first) == Freed::freed);
    CHECK(
        dump_json(space, 100) ==
        R"({"capacityBytes":4096,"granuleBytes":256,"usedBytes":1024,"requestedBytes":1000,"freeBytes":3072,"largestFreeBytes":2560,)"
        R"("highestUsedBytes":1536,"liveCount":1,"holeCount":2,"ranges":[{"kind":"hole","offsetBytes":0,"sizeBytes":512},)"
        R"({"kind":"live","offsetBytes":512,"sizeBytes":1024,"requestedBytes":1000},{"kind":"hole","offsetBytes":1536,"sizeBytes":2560}],)"
        R"("truncated":false})");
}

TEST_CASE("a long list of ranges is cut at the limit and says so") {
    SubAllocator space(1 * mib);
    for (int i = 0; i < 100; ++i) REQUIRE(space.allocate(256, 256));
    const std::string text = dump_json(space, 10);
    CHECK(text.ends_with("],\"truncated\":true}"));
    CHECK(text.size() < 1200);
    CHECK(dump_json(space, 101).ends_with("\"truncated\":false}"));
    CHECK(dump_json(space, 0).find("\"ranges\":[],\"truncated\":true") != std::string::npos);
    CHECK(dump_json(SubAllocator(0), 10).find("\"ranges\":[],\"truncated\":false") != std::string::npos);
}

TEST_CASE("the picture of any space is small, and shows live and free parts apart") {
    SubAllocator space(64 * mib);
    std::vector<Handle> handles;
    while (const auto piece = space.allocate(4096, 256)) handles.push_back(piece->handle);
    const std::string full = dump_svg(space);
    CHECK(full.find("e8e8e8") == std::string::npos);
    CHECK(full.find("fill-opacity") == std::string::npos);
    for (u64 i = 0; i < handles.size(); i += 3) CHECK(space.free(handles[i]) == Freed::freed);
    const std::string striped = dump_svg(space);
    CHECK(striped.find("fill-opacity") != std::string::npos);
    CHECK(striped.size() < 400 * kib);
    CHECK(striped.starts_with("<svg "));
    CHECK(striped.ends_with("</svg>\n"));
    const std::string empty = dump_svg(SubAllocator(0));
    CHECK(empty.find("<rect") == std::string::npos);
    CHECK(dump_svg(SubAllocator(256)).find("e8e8e8") != std::string::npos);
}
