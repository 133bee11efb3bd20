/* probe NAME=PID…: tries what a service of the station has no business with, from where it was started, and says what came
 * of each try: `WHAT: done`, or the error's name. Started by the test in a service's own sandbox, and once outside. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, const char *which, long result)
{
    printf("%s %s: %s\n", what, which, result < 0 ? strerrorname_np(errno) : "done");
    fflush(stdout);
}

static long inet(int family, const void *address, socklen_t len)
{
    int fd = socket(family, SOCK_STREAM, 0);
    return fd < 0 ? -1 : connect(fd, address, len);
}

static long local(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, type, 0);
    return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof address);
}

/* In a child, which the try may change or end. */
static long aside(long (*try)(void))
{
    pid_t child = fork();
    if (child == 0)
        _exit(try() < 0 ? errno : 0);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return -1;
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    return errno ? -1 : 0;
}

static long exec_shell(void) { return execl("/bin/true", "true", NULL); }
static long new_user(void) { return unshare(CLONE_NEWUSER); }
static long new_network(void) { return unshare(CLONE_NEWNET); }
static long become_root(void) { return setuid(0); }

static void attack(char *name)
{
    char *number = strchr(name, '=');
    if (!number)
        exit(2);
    *number++ = '\0';
    pid_t pid = atoi(number);
    char path[64], byte;
    struct iovec iov = {&byte, 1};
    say("signal", name, kill(pid, SIGCONT));
    long attached = ptrace(PTRACE_SEIZE, pid, 0, 0);
    say("ptrace", name, attached);
    /* Memory that is not there is EFAULT: the way was open. */
    struct iovec from = {(void *)1, 1};
    long read = process_vm_readv(pid, &iov, 1, &from, 1, 0);
    say("read memory", name, read < 0 && errno == EFAULT ? 0 : read);
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    say("open memory", name, open(path, O_RDONLY));
    snprintf(path, sizeof path, "/proc/%d/fd/0", pid);
    say("open descriptor", name, open(path, O_RDONLY));
}

static const char *const streams[] = {"/run/dbus/system_bus_socket"};
static const char *const packets[] = {
    "/run/recueil-hostd/hostd.sock", "/run/recueil-courier/courier.sock", "/run/recueil/analyser.sock"};
static const char *const readable[] = {
    "/var/lib/recueil/store.sqlite", "/var/lib/recueil/keys/storage.key", "/var/lib/recueil/keys/seal.key",
    "/var/lib/recueil-ready", "/var/lib/recueil-courier/keys/tls.key", "/var/lib/recueil-courier/receipts",
    "/var/lib/recueil-host", "/etc/shadow", "/etc/recueil/recueil.toml", "/home/agent", "/dev/shm", "/run/log/journal"};
static const char *const writable[] = {
    "/var/lib/recueil/forged", "/var/lib/recueil-ready/forged", "/var/lib/recueil-courier/receipts/forged",
    "/var/lib/recueil-host/forged", "/etc/recueil/forged", "/tmp/forged", "/var/tmp/forged", "/dev/shm/forged",
    "/run/forged", "/usr/lib/recueil/plugins/forged"};
#define EACH(i, list) (size_t i = 0; i < sizeof list / sizeof *list; i++)

int main(int argc, char **argv)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(8443), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(8444), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    say("connect", "inet", inet(AF_INET, &v4, sizeof v4));
    long six = inet(AF_INET6, &v6, sizeof v6);
    say("connect", "inet6", six < 0 && errno == ECONNREFUSED ? 0 : six); /* nobody listens: the way was open */
    say("socket", "udp", socket(AF_INET, SOCK_DGRAM, 0));
    say("socket", "raw", socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    say("socket", "packet", socket(AF_PACKET, SOCK_RAW, 0));
    say("socket", "netlink", socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    say("socket", "unix", socket(AF_UNIX, SOCK_STREAM, 0));
    for EACH(i, streams)
        say("connect", streams[i], local(streams[i], SOCK_STREAM));
    for EACH(i, packets)
        say("connect", packets[i], local(packets[i], SOCK_SEQPACKET));
    for EACH(i, readable)
        say("read", readable[i], open(readable[i], O_RDONLY | O_CLOEXEC));
    for EACH(i, writable) {
        say("write", writable[i], open(writable[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        unlink(writable[i]);
    }
    say("exec", "program", aside(exec_shell));
    say("unshare", "user", aside(new_user));
    say("unshare", "network", aside(new_network));
    say("become", "root", aside(become_root));
    say("mount", "tmpfs", mount("none", "/mnt", "tmpfs", 0, NULL));
    say("map", "code", mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
        MAP_FAILED ? -1 : 0);
    say("call", "keyctl", syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3, 1));
    for (int i = 1; i < argc; i++)
        attack(argv[i]);
    return 0;
}
