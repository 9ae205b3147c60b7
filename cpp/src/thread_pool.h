// Threads that wait between calls, so that a call of a millisecond does not pay for starting them.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace swathpack {

// One pool for the process; calls from several threads share it. Threads are started when they are first
// asked for, and never end: a process ends with them waiting.
class ThreadPool {
 public:
  // A child of fork() has none of its parent's threads: it gets a pool of its own.
  [[nodiscard]] static ThreadPool& of_process();

  // Calls work(0) on this thread and, on threads that are free before it returns, work(1) to work(n − 1): so
  // work(0) alone must be able to do all there is. Returns when all that were begun have ended. `work` does
  // not throw.
  void run(size_t n, const std::function<void(size_t)>& work);

 private:
  struct Job {
    const std::function<void(size_t)>& work;
    size_t n, next, running;
    std::condition_variable ended;
  };

  void grow(size_t n_threads);
  void serve();

  std::mutex mutex_;
  std::condition_variable wanted_;
  std::deque<Job*> jobs_;  // those with numbers left to give out
  size_t n_threads_ = 0;
};

}  // namespace swathpack
