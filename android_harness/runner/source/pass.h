// The process that measures: Jobs of one group, loaded, checked and timed.
#pragma once

#include <string>
#include <vector>

namespace pocketgan {

// The main function of such a process. `words`: --pass PASS SESSION RUNTIME [GROUP JOB...], where PASS is
//   probe    that the runtime can be opened;
//   fresh    of one Job: memory, cold load, first inference, golden check, warm load, where its nodes ran;
//   frames   of several: golden check, warm-up, and their frames, the models taking turns.
// What comes of it is told by events; what goes wrong with a model is told of that model. Returns the exit code.
int pass_main(const std::vector<std::string>& words);

}  // namespace pocketgan
