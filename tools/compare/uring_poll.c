// For counting under valgrind, which lets no other thread run while one waits in io_uring_enter: whoever would wait there waits in poll() instead, which
// it knows, and then asks for what is there. Loaded with LD_PRELOAD; the instructions of this file are counted too, a few for each sleep.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <time.h>

// How long to wait for completions: what the caller said, or for ever.
static const struct timespec *limit(unsigned flags, const void *argument, struct timespec *room) {
    if (!(flags & IORING_ENTER_EXT_ARG) || !argument) return 0;
    const struct __kernel_timespec *ts = (const void *)((const struct io_uring_getevents_arg *)argument)->ts;
    if (!ts) return 0;
    *room = (struct timespec){.tv_sec = ts->tv_sec, .tv_nsec = ts->tv_nsec};
    return room;
}

long syscall(long number, ...) {
    static long (*real)(long, ...);
    if (!real) real = dlsym(RTLD_NEXT, "syscall");
    va_list list;
    va_start(list, number);
    long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
    long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
    va_end(list);
    if (number == __NR_io_uring_setup) {
        // What is deferred to io_uring_enter wakes nobody who polls the ring: a thread would sleep until its time is over.
        struct io_uring_params *asked = (void *)b;
        if (asked->flags & IORING_SETUP_DEFER_TASKRUN) asked->flags ^= IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN;
    }
    if (number != __NR_io_uring_enter || c == 0) return real(number, a, b, c, d, e, f);
    // What is to be submitted is, and what is finished is told; nothing waits.
    long submitted = real(number, a, b, 0L, d & ~(long)IORING_ENTER_EXT_ARG, 0L, 0L);
    if (submitted < 0) return submitted;
    struct timespec room;
    struct pollfd ring = {.fd = (int)a, .events = POLLIN};
    if (ppoll(&ring, 1, limit((unsigned)d, (const void *)e, &room), 0) > 0)
        real(number, a, 0L, 0L, d & ~(long)IORING_ENTER_EXT_ARG, 0L, 0L);
    return submitted;
}
