// A thread that carries out one task after the other.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace pocketgan {

class Worker {
 public:
    Worker() : thread_([this] { serve(); }) {}
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    // Begins a task; the one before it must have been waited for.
    void begin(std::function<void()> task);
    // Waits until the task has ended, and throws what it threw.
    void wait();

 private:
    void serve();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::function<void()> task_;
    std::exception_ptr thrown_;
    bool busy_ = false, over_ = false;
    std::thread thread_;  // last: it uses the others
};

}  // namespace pocketgan
