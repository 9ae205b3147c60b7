#include "thread_pool.h"

#include <algorithm>
#include <exception>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#endif

namespace swathpack {
namespace {

// Never destroyed: its threads may outlive every other static object.
ThreadPool* pool_of_process = new ThreadPool;

// Signals are the business of the caller's own threads: those started while one of these lives take none.
class SignalsBlocked {
#if defined(__unix__) || defined(__APPLE__)
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
#endif
};

}  // namespace

ThreadPool& ThreadPool::of_process() {
#if defined(__unix__) || defined(__APPLE__)
  // The parent's pool may have been in use at the moment of the fork: it is left as it was.
  static const int handler = pthread_atfork(nullptr, nullptr, [] { pool_of_process = new ThreadPool; });
  static_cast<void>(handler);
#endif
  return *pool_of_process;
}

void ThreadPool::grow(size_t n_threads) {
  if (n_threads_ >= n_threads) return;
  [[maybe_unused]] const SignalsBlocked blocked;
  while (n_threads_ < n_threads) {
    // A system that grants no more threads, or no memory for them, leaves the work to those there are.
    try {
      std::thread([this] { serve(); }).detach();
    } catch (const std::exception&) {
      return;
    }
    ++n_threads_;
  }
}

void ThreadPool::serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wanted_.wait(lock, [this] { return !jobs_.empty(); });
    Job& job = *jobs_.front();
    const size_t number = job.next++;
    if (job.next == job.n) jobs_.pop_front();
    ++job.running;
    lock.unlock();
    job.work(number);
    lock.lock();
    if (--job.running == 0) job.ended.notify_one();
  }
}

void ThreadPool::run(size_t n, const std::function<void(size_t)>& work) {
  if (n <= 1) return work(0);
  Job job{work, n, 1, 0, {}};
  {
    const std::lock_guard lock(mutex_);
    grow(n - 1);
    jobs_.push_back(&job);
  }
  for (size_t i = 1; i < n; ++i) wanted_.notify_one();
  work(0);
  std::unique_lock lock(mutex_);
  if (job.next < n) std::erase(jobs_, &job);
  job.ended.wait(lock, [&] { return job.running == 0; });
}

}  // namespace swathpack
