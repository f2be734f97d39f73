#include "api/examples.hpp"

#include <array>

namespace vramd::api {
namespace {
constexpr std::string_view limits_trial = R"({"maxPercentage":90,"reserveBytes":16777216,"dryRun":true})";
constexpr std::string_view whole_copy = R"({"sourceAllocationId":"alc_0q3xw8c5k2mznd1","targetAllocationId":"alc_7t1vb9e4h6pqrs2"})";
constexpr std::string_view everything_dry = R"({"operations":["garbageCollect","defragment"],"dryRun":true})";
constexpr std::string_view kept = R"({"operations":["defragment"],"preserveAllocationIds":["alc_0q3xw8c5k2mznd1"],"timeLimitMs":2000})";
constexpr std::string_view defragment_dry = R"({"dryRun":true})";
constexpr std::string_view defragment_thorough = R"({"strategy":"thorough","timeLimitMs":2000})";
constexpr std::string_view behind = R"({"waitForCompletion":false})";

constexpr std::array examples = {
    RequestExample{"allocate", "scratch", "Two mebibytes, wherever there is most room", R"({"sizeBytes":2097152,"purpose":"activations"})"},
    RequestExample{"allocate", "leased", "Gone by itself a minute after its last use",
                   R"({"sizeBytes":65536,"persistent":false,"leaseSeconds":60})"},
    RequestExample{"allocate", "shared", "On one device, for other owners to attach and read",
                   R"({"deviceId":"host0","sizeBytes":1048576,"shareable":true})"},
    RequestExample{"allocate", "patient", "Waits ten seconds for room, before those of less priority",
                   R"({"sizeBytes":2097152,"timeoutSeconds":10,"priority":"high"})"},
    RequestExample{"allocateOnDevice", "scratch", "Two mebibytes", R"({"sizeBytes":2097152,"purpose":"activations"})"},
    RequestExample{"allocateOnDevice", "pinned", "Locked in memory, never moved", R"({"sizeBytes":1048576,"allocationType":"pinned"})"},
    RequestExample{"renewLease", "tenMinutes", "For ten minutes from now", R"({"leaseSeconds":600})"},
    RequestExample{"writeContent", "text", "Five bytes", "hello"},
    RequestExample{"clear", "whole", "All of an allocation, with zeroes", R"({"allocationId":"alc_0q3xw8c5k2mznd1"})"},
    RequestExample{"clear", "part", "A kibibyte in the midst of it, with 255",
                   R"({"allocationId":"alc_0q3xw8c5k2mznd1","offsetBytes":4096,"sizeBytes":1024,"fillValue":255})"},
    RequestExample{"clear", "free", "What no allocation holds on a device", R"({"deviceId":"host0"})"},
    RequestExample{"clearDevice", "zeroes", "With zeroes", R"({"fillValue":0})"},
    RequestExample{"copy", "whole", "As much as both hold", whole_copy},
    RequestExample{"copy", "part", "A page from the source's start behind the target's first page",
                   R"({"sourceAllocationId":"alc_0q3xw8c5k2mznd1","targetAllocationId":"alc_7t1vb9e4h6pqrs2",)"
                   R"("targetOffsetBytes":4096,"sizeBytes":4096})"},

    RequestExample{"loadModel", "plain", "Wherever there is most room",
                   R"({"name":"detector","path":"ocr/ch_PP-OCRv4_det_infer.onnx","type":"other"})"},
    RequestExample{"loadModel", "background", "Answered at once, with an operation to look at",
                   R"({"name":"detector","path":"ocr/ch_PP-OCRv4_det_infer.onnx","type":"other","waitForCompletion":false})"},
    RequestExample{"loadModelOnDevice", "pinned", "Never evicted",
                   R"({"name":"detector","path":"ocr/ch_PP-OCRv4_det_infer.onnx","type":"other","pinned":true})"},
    RequestExample{"cacheModel", "plain", "In the background of everything else",
                   R"({"name":"detector","path":"ocr/ch_PP-OCRv4_det_infer.onnx","type":"other","priority":"low"})"},

    RequestExample{"transfer", "copy", "Copied to another device, both sides summed and compared",
                   R"({"sourceAllocationId":"alc_0q3xw8c5k2mznd1","targetDeviceId":"host1","verify":true})"},
    RequestExample{"transfer", "move", "Moved to another device; the id stays",
                   R"({"sourceAllocationId":"alc_0q3xw8c5k2mznd1","targetDeviceId":"host1","mode":"move"})"},
    RequestExample{"transfer", "into", "A mebibyte of it into another allocation, in the background",
                   R"({"sourceAllocationId":"alc_0q3xw8c5k2mznd1","targetAllocationId":"alc_7t1vb9e4h6pqrs2",)"
                   R"("sizeBytes":1048576,"timeoutSeconds":60,"waitForCompletion":false})"},

    RequestExample{"setLimits", "trial", "At most 90 % and a reserve: what would that lead to?", limits_trial},
    RequestExample{"setLimits", "quota", "At most so much for one owner", R"({"ownerQuotas":{"http":134217728}})"},
    RequestExample{"setLimits", "none", "No limit", R"({"maxPercentage":100,"reserveBytes":0,"ownerQuotas":{}})"},

    RequestExample{"optimizeModels", "trial", "Which would go to bring the pressure below 75 %?",
                   R"({"targetPressurePercentage":75,"dryRun":true})"},
    RequestExample{"optimizeModels", "oldest", "At most one, but not the detector",
                   R"({"deviceId":"host0","strategy":"conservative","excludeModels":["detector"],"maxModels":1})"},
    RequestExample{"defragment", "trial", "What would it move and gain?", defragment_dry},
    RequestExample{"defragment", "thorough", "Fewest holes, within two seconds", defragment_thorough},
    RequestExample{"defragment", "background", "Answered at once, with an operation to look at", behind},
    RequestExample{"defragmentDevice", "trial", "What would it move and gain?", defragment_dry},
    RequestExample{"defragmentDevice", "thorough", "Fewest holes, within two seconds", defragment_thorough},
    RequestExample{"optimize", "trial", "What would it do?", everything_dry},
    RequestExample{"optimize", "kept", "Within two seconds, and one allocation stays where it is", kept},
    RequestExample{"optimize", "background", "Answered at once, with an operation to look at", behind},
    RequestExample{"optimizeDevice", "trial", "What would it do?", everything_dry},
    RequestExample{"optimizeDevice", "kept", "Within two seconds, and one allocation stays where it is", kept},
};
}  // namespace

std::span<const RequestExample> request_examples() { return examples; }
}  // namespace vramd::api
