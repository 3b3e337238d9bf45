#include "child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>

#include "events.h"
#include "pass.h"
#include "problem.h"

namespace pocketgan {
namespace {

// A single load or frame of the slowest models takes tens of seconds; a process that works says so.
constexpr timespec longest_silence{300, 0};

volatile std::sig_atomic_t caught = 0;

void remember(int signal) { caught = signal; }

// Holds the signals back that stop the work, so that none comes between a look and a wait.
class HeldSignals {
 public:
    HeldSignals() {
        sigset_t held;
        sigemptyset(&held);
        for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&held, signal);
        sigprocmask(SIG_BLOCK, &held, &before_);
    }
    ~HeldSignals() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
    HeldSignals(const HeldSignals&) = delete;
    HeldSignals& operator=(const HeldSignals&) = delete;

    const sigset_t& before() const { return before_; }

 private:
    sigset_t before_;
};

// Ends the child and its pipe, whatever happens meanwhile.
class Running {
 public:
    Running(pid_t child, int events) : child_(child), events_(events) {}
    ~Running() {
        if (events_ >= 0) kill(child_, SIGKILL);  // a number that was waited for may be another process's by now
        end();
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    int events() const { return events_; }

    // How it ended.
    int end() {
        if (events_ < 0) return status_;
        close(events_);
        events_ = -1;
        while (waitpid(child_, &status_, 0) < 0 && errno == EINTR) {
        }
        return status_;
    }

 private:
    pid_t child_;
    int events_;
    int status_ = 0;
};

std::string death(int status) {
    if (WIFSIGNALED(status)) {
        const int signal = WTERMSIG(status);
        return std::string("the process that measured was killed: ") + strsignal(signal) +
               (signal == SIGKILL ? " (out of memory?)" : "");
    }
    return "the process that measured ended early with exit code " + std::to_string(WEXITSTATUS(status));
}

[[noreturn]] void become_child(const std::vector<std::string>& arguments, int events, pid_t parent) {
    // A runner that is killed takes its children along.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    if (events == events_descriptor) {
        fcntl(events, F_SETFD, 0);
    } else {
        dup2(events, events_descriptor);
    }
    std::vector<char*> words{const_cast<char*>("pocketgan-runner")};
    for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
    words.push_back(nullptr);
    // By its name: an emulator's /proc/self/exe is the emulator.
    char path[4096] = "";
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length > 0) execv(path, words.data());
    // An emulated program cannot be started by its name where the kernel knows no emulator; the copy goes on itself.
    _exit(pass_main(arguments));
}

}  // namespace

std::string Cancelled::name() const { return strsignal(signal); }

void catch_signals() {
    struct sigaction action{};
    action.sa_handler = remember;
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
        struct sigaction before{};
        sigaction(signal, nullptr, &before);
        if (before.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);  // nohup stays nohup
    }
}

void stop_if_asked() {
    if (caught != 0) throw Cancelled{caught};
}

std::string run_child(const std::vector<std::string>& arguments, const std::function<void(const json::Value&)>& take) {
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) != 0) throw Problem(std::string("no pipe can be opened: ") + std::strerror(errno));
    std::optional<HeldSignals> held(std::in_place);
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child < 0) throw Problem(std::string("no process can be started: ") + std::strerror(errno));
    if (child == 0) become_child(arguments, pipes[1], parent);
    close(pipes[1]);
    Running running(child, pipes[0]);
    std::string buffer, why;
    bool done = false;
    char part[1 << 16];
    while (!done && why.empty() && caught == 0) {
        pollfd waiting{running.events(), POLLIN, 0};
        const int ready = ppoll(&waiting, 1, &longest_silence, &held->before());
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0) why = "the process that measured hung: nothing from it for 300 s";
        if (ready <= 0) break;
        const ssize_t count = read(running.events(), part, sizeof part);
        if (count <= 0) why = death(running.end());
        if (count > 0) buffer.append(part, static_cast<std::size_t>(count));
        std::size_t start = 0;
        for (std::size_t end; (end = buffer.find('\n', start)) != std::string::npos; start = end + 1) {
            const json::Value event = json::parse(std::string_view(buffer).substr(start, end - start), "an event");
            const std::string& kind = event.find("event")->text;
            done = done || kind == "done";
            if (kind == "refused") {
                why = event.find("message")->text;
            } else {
                take(event);
            }
        }
        buffer.erase(0, start);
    }
    held.reset();
    stop_if_asked();
    return done ? "" : why;
}

}  // namespace pocketgan
