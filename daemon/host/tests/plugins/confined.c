/* Tries what it must not do, at load and in a capture, and says what came of it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin.h"

static int at_load_open, at_load_socket, at_load_library;

__attribute__((constructor)) static void before_the_entry(void)
{
    at_load_open = open("/etc/passwd", O_RDONLY) < 0 ? errno : 0;
    at_load_socket = socket(AF_INET, SOCK_STREAM, 0) < 0 ? errno : 0;
    int fd = open("/usr/lib/os-release", O_RDONLY);
    at_load_library = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
}

static void say(const char *what, long result, int error)
{
    char line[100];
    snprintf(line, sizeof line, "%s: %s", what, result < 0 ? strerrorname_np(error) : "done");
    host->log(host, RCL_LOG_INFO, line);
}
#define TRY(what, call) do { errno = 0; long r = (long)(call); say(what, r, errno); } while (0)

static void *nothing(void *argument) { return argument; }

static long start_a_thread(void)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, nothing, NULL);
    if (error == 0)
        error = pthread_join(thread, NULL);
    errno = error;
    return error ? -1 : 0;
}

static rcl_status capture(rcl_device *device, uint64_t req, const rcl_params *params)
{
    (void)device;
    (void)params;
    struct rlimit more = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    int pair[2] = {-1, -1};
    say("open at load", at_load_open ? -1 : 0, at_load_open);
    say("socket at load", at_load_socket ? -1 : 0, at_load_socket);
    say("library folder at load", at_load_library ? -1 : 0, at_load_library);
    TRY("open", open("/etc/passwd", O_RDONLY));
    TRY("open library", open("/usr/lib/os-release", O_RDONLY));
    TRY("socket", socket(AF_UNIX, SOCK_DGRAM, 0));
    TRY("datagram pair", socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    TRY("kill parent", kill(getppid(), 0));
    TRY("kill group", kill(0, 0));
    TRY("kill self", kill(getpid(), 0));
    TRY("owner", fcntl(opened_fd, F_SETOWN, getppid()));
    TRY("owner by ioctl", ioctl(opened_fd, 0x8901 /* FIOSETOWN */, &(int){getppid()}));
    TRY("fork", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    TRY("thread", start_a_thread());
    TRY("exec", execl("/bin/true", "true", NULL));
    TRY("limits", setrlimit(RLIMIT_AS, &more));
    TRY("code", (long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1 ? -1 : 0);
    TRY("new call", syscall(1000));
    return give_result(req, 1);
}
