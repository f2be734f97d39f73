/// Every verb by name; each is defined in verb_NAME.cpp.
#pragma once
#include "cli/verb.hpp"

namespace vramd::cli {
extern const Verb status_verb;
extern const Verb top_verb;
extern const Verb devices_verb;
extern const Verb ps_verb;
extern const Verb models_verb;
extern const Verb tensors_verb;
extern const Verb load_verb;
extern const Verb unload_verb;
extern const Verb cache_verb;
extern const Verb alloc_verb;
extern const Verb free_verb;
extern const Verb cat_verb;
extern const Verb put_verb;
extern const Verb copy_verb;
extern const Verb move_verb;
extern const Verb transfers_verb;
extern const Verb clear_verb;
extern const Verb defragment_verb;
extern const Verb optimize_verb;
extern const Verb events_verb;
extern const Verb pressure_verb;
extern const Verb analytics_verb;
extern const Verb advise_verb;
extern const Verb limits_verb;
extern const Verb explain_verb;
extern const Verb doctor_verb;
extern const Verb audit_verb;
extern const Verb simulate_verb;
extern const Verb system_verb;
extern const Verb upgrade_verb;
extern const Verb config_verb;
extern const Verb completion_verb;
extern const Verb version_verb;
}  // namespace vramd::cli
