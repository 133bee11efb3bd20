/* An IFD handler (PC/SC Part 3, the API of pcsc-lite's ifdhandler.h, version 3) of two readers without hardware, each
 * with a card that answers at once. The name of the device file says which:
 *
 *   good  does what it is asked
 *   bad   never returns from the control code CONTROL_HANG, as a driver that waits for a person and does
 *         not look whether he is still wanted
 *
 * The contract has no way to tell a handler that its client is gone. */
#include <string.h>
#include <unistd.h>

#include <ifdhandler.h>

enum { READERS = 2, CONTROL_HANG = 0x42000002 };

/* The least answer to reset: direct convention, no historical bytes (ISO/IEC 7816-3). */
static const UCHAR atr[] = {0x3B, 0x00};
static DWORD channels[READERS];
static int bad[READERS];
static int count;

static int reader(DWORD lun)
{
    for (int i = 0; i < count; i++)
        if (channels[i] == lun)
            return i;
    return -1;
}

RESPONSECODE IFDHCreateChannelByName(DWORD lun, LPSTR device)
{
    if (reader(lun) >= 0)
        return IFD_SUCCESS;
    if (count == READERS)
        return IFD_COMMUNICATION_ERROR;
    channels[count] = lun;
    const char *name = strrchr(device, '/');
    bad[count] = name != NULL && strcmp(name, "/bad") == 0;
    count++;
    return IFD_SUCCESS;
}

RESPONSECODE IFDHCreateChannel(DWORD lun, DWORD channel)
{
    (void)lun;
    (void)channel;
    return IFD_NOT_SUPPORTED;
}

RESPONSECODE IFDHCloseChannel(DWORD lun)
{
    return reader(lun) < 0 ? IFD_COMMUNICATION_ERROR : IFD_SUCCESS;
}

RESPONSECODE IFDHGetCapabilities(DWORD lun, DWORD tag, PDWORD length, PUCHAR value)
{
    (void)lun;
    switch (tag) {
    case TAG_IFD_ATR:
        if (*length < sizeof atr)
            return IFD_ERROR_INSUFFICIENT_BUFFER;
        memcpy(value, atr, sizeof atr);
        *length = sizeof atr;
        return IFD_SUCCESS;
    case TAG_IFD_SIMULTANEOUS_ACCESS:
        *length = 1;
        *value = READERS;
        return IFD_SUCCESS;
    case TAG_IFD_THREAD_SAFE: /* readers may be used at the same time: a wedged one holds up no other */
        *length = 1;
        *value = 1;
        return IFD_SUCCESS;
    case TAG_IFD_SLOTS_NUMBER:
        *length = 1;
        *value = 1;
        return IFD_SUCCESS;
    default:
        return IFD_ERROR_TAG;
    }
}

RESPONSECODE IFDHSetCapabilities(DWORD lun, DWORD tag, DWORD length, PUCHAR value)
{
    (void)lun;
    (void)tag;
    (void)length;
    (void)value;
    return IFD_NOT_SUPPORTED;
}

RESPONSECODE IFDHSetProtocolParameters(DWORD lun, DWORD protocol, UCHAR flags, UCHAR pts1, UCHAR pts2, UCHAR pts3)
{
    (void)lun;
    (void)protocol;
    (void)flags;
    (void)pts1;
    (void)pts2;
    (void)pts3;
    return IFD_SUCCESS;
}

RESPONSECODE IFDHPowerICC(DWORD lun, DWORD action, PUCHAR answer, PDWORD length)
{
    (void)lun;
    *length = 0;
    if (action == IFD_POWER_DOWN)
        return IFD_SUCCESS;
    memcpy(answer, atr, sizeof atr);
    *length = sizeof atr;
    return IFD_SUCCESS;
}

RESPONSECODE IFDHTransmitToICC(DWORD lun, SCARD_IO_HEADER send, PUCHAR command, DWORD command_length, PUCHAR answer,
                               PDWORD answer_length, PSCARD_IO_HEADER receive)
{
    (void)lun;
    (void)command;
    (void)command_length;
    if (*answer_length < 2)
        return IFD_ERROR_INSUFFICIENT_BUFFER;
    answer[0] = 0x90;
    answer[1] = 0x00;
    *answer_length = 2;
    *receive = send;
    return IFD_SUCCESS;
}

RESPONSECODE IFDHControl(DWORD lun, DWORD code, PUCHAR command, DWORD command_length, PUCHAR answer,
                         DWORD answer_length, LPDWORD returned)
{
    (void)command;
    (void)command_length;
    (void)answer;
    (void)answer_length;
    int at = reader(lun);
    *returned = 0;
    if (code != CONTROL_HANG || at < 0 || !bad[at])
        return IFD_ERROR_NOT_SUPPORTED;
    for (;;)
        pause();
}

RESPONSECODE IFDHICCPresence(DWORD lun)
{
    return reader(lun) < 0 ? IFD_COMMUNICATION_ERROR : IFD_ICC_PRESENT;
}
