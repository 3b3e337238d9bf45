// pocketgan-runner SESSION [--runtime FILE] [--out FILE] [--device NAME] [--simulated]
//
// Exit codes: 0 every group was carried out, what went wrong with a model is in its Result; 2 the user or the
// environment must act, as one line says; 70 a fault of ours; 128 and more: ended by that signal.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "carry_out.h"
#include "child.h"
#include "device.h"
#include "pass.h"
#include "problem.h"

namespace {

using pocketgan::Problem;
namespace fs = std::filesystem;

constexpr int must_act = 2, our_fault = 70;
constexpr const char* usage =
    "usage: pocketgan-runner SESSION [--runtime libonnxruntime.so] [--out results.jsonl] [--device NAME] [--simulated]";

struct Arguments {
    fs::path session, runtime, out;
    std::string device;
    bool simulated = false;
};

fs::path beside_runner(const char* name) {
    std::error_code error;
    return fs::read_symlink("/proc/self/exe", error).parent_path() / name;
}

Arguments read_arguments(const std::vector<std::string>& words) {
    Arguments arguments;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        const auto value = [&]() -> const std::string& {
            if (i + 1 == words.size()) throw Problem(word + " needs a value; " + usage);
            return words[++i];
        };
        if (word == "--runtime") {
            arguments.runtime = value();
        } else if (word == "--out") {
            arguments.out = value();
        } else if (word == "--device") {
            arguments.device = value();
        } else if (word == "--simulated") {
            arguments.simulated = true;
        } else if (word.rfind("--", 0) == 0 || !arguments.session.empty()) {
            throw Problem("unexpected " + word + "; " + usage);
        } else {
            arguments.session = word;
        }
    }
    if (arguments.session.empty()) throw Problem(usage);
    if (arguments.runtime.empty()) arguments.runtime = beside_runner("libonnxruntime.so");
    // A bare name would be looked for among the system's libraries.
    if (fs::exists(arguments.runtime)) arguments.runtime = fs::absolute(arguments.runtime);
    if (arguments.out.empty()) arguments.out = arguments.session / "results.jsonl";
    return arguments;
}

void run_session(const std::vector<std::string>& words) {
    const Arguments arguments = read_arguments(words);
    std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is a full disk: an error of its write
    const pocketgan::Session session = pocketgan::read_session(arguments.session);
    pocketgan::Results results(arguments.out, session.name);
    const pocketgan::Surroundings surroundings{arguments.runtime,
                                               pocketgan::describe_device(arguments.device, arguments.simulated)};
    try {
        pocketgan::catch_signals();
        pocketgan::carry_out(session, surroundings, results);
    } catch (const pocketgan::Cancelled& stop) {
        results.end("cancelled (" + stop.name() + "); start it again to go on");
        throw;
    } catch (const Problem& problem) {
        results.end(problem.what());
        throw;
    }
    results.end("");
}

}  // namespace

int main(int count, char** words) {
    const std::vector<std::string> arguments(words + 1, words + count);
    try {
        if (!arguments.empty() && arguments.front() == "--pass") {
            const int code = pocketgan::pass_main(arguments);
            std::fflush(nullptr);
            std::_Exit(code);  // a runtime's exit handlers have nothing to add, and have hung
        }
        if (!arguments.empty() && arguments.front() == "--help") {
            std::puts(usage);
            return 0;
        }
        run_session(arguments);
        return 0;
    } catch (const Problem& problem) {
        std::fprintf(stderr, "%s\n", problem.what());
        return must_act;
    } catch (const pocketgan::Cancelled& stop) {
        std::fprintf(stderr, "cancelled (%s); results.jsonl holds what was complete\n", stop.name().c_str());
        return 128 + stop.signal;
    } catch (const std::exception& fault) {
        std::fprintf(stderr, "fault of the runner: %s\n", fault.what());
        return our_fault;
    }
}
