/* A client of pcscd, as the fault benches need it: recueil-rival-pcsc ROLE READER
 *
 *   hold      connects for itself alone, prints "held", waits for its end
 *   wedge     the same, but waits inside the driver
 *   contend   tries to connect until it is connected: prints "contending" at the first refusal, then the time
 *   witness   exchanges a few bytes every 5 ms until its input ends; prints "watching" when connected, and at the
 *             end the count of failures and of exchanges
 *
 * Times are the monotonic clock's, in nanoseconds. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <winscard.h>

enum { CONTROL_HANG = 0x42000002, PAUSE_US = 200, EXCHANGE_EVERY_MS = 5 };

static SCARDCONTEXT context;
static SCARDHANDLE card;
static DWORD protocol;

/* A context dies with the service, so each try that may meet a new service makes its own. */
static LONG get(const char *reader, DWORD share)
{
    LONG outcome = SCardEstablishContext(SCARD_SCOPE_SYSTEM, NULL, NULL, &context);
    if (outcome != SCARD_S_SUCCESS)
        return outcome;
    outcome = SCardConnect(context, reader, share, SCARD_PROTOCOL_T0 | SCARD_PROTOCOL_T1, &card, &protocol);
    if (outcome != SCARD_S_SUCCESS)
        SCardReleaseContext(context);
    return outcome;
}

static int say(const char *line)
{
    puts(line);
    return fflush(stdout);
}

static int contend(const char *reader)
{
    struct timespec now;
    int told = 0;
    while (get(reader, SCARD_SHARE_EXCLUSIVE) != SCARD_S_SUCCESS) {
        if (!told)
            say("contending");
        told = 1;
        usleep(PAUSE_US);
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("%" PRId64 "\n", (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
    return 0;
}

static int witness(const char *reader)
{
    static const BYTE select[] = {0x00, 0xA4, 0x00, 0x00};
    unsigned failures = 0, exchanges = 0;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int connected = get(reader, SCARD_SHARE_SHARED) == SCARD_S_SUCCESS;
    if (!connected)
        return 1;
    say("watching");
    while (poll(&input, 1, EXCHANGE_EVERY_MS) == 0) {
        BYTE answer[16];
        DWORD length = sizeof answer;
        const SCARD_IO_REQUEST *header = protocol == SCARD_PROTOCOL_T0 ? SCARD_PCI_T0 : SCARD_PCI_T1;
        exchanges++;
        if (connected && SCardTransmit(card, header, select, sizeof select, NULL, answer, &length) == SCARD_S_SUCCESS)
            continue;
        failures += connected ? 1 : 0; /* once for each connection lost */
        connected = get(reader, SCARD_SHARE_SHARED) == SCARD_S_SUCCESS;
    }
    printf("%u %u\n", failures, exchanges);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    const char *role = argv[1], *reader = argv[2];
    if (strcmp(role, "contend") == 0)
        return contend(reader);
    if (strcmp(role, "witness") == 0)
        return witness(reader);
    /* The holder before may have ended a moment ago. */
    while (get(reader, SCARD_SHARE_EXCLUSIVE) != SCARD_S_SUCCESS)
        usleep(PAUSE_US);
    say("held");
    if (strcmp(role, "wedge") == 0) {
        DWORD length = 0;
        BYTE none[1] = {0};
        SCardControl(card, CONTROL_HANG, none, 0, none, sizeof none, &length);
        return 1; /* the driver came back */
    }
    for (;;)
        pause();
}
