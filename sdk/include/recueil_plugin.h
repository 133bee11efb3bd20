/* recueil_plugin.h - what a capture device's plugin and Recueil say to each other.
 *
 * ABI 1.0, release candidate: may still change until real drivers have used it, then it is frozen for good.
 * C99 and C++11, 64-bit Linux. This file is the contract; every other language mirrors it.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * A plugin is one shared object with one exported symbol, recueil_plugin_v1. The host loads it into a process
 * of its own, already confined: no network, no files, no other process, one device as an open descriptor.
 *
 *   recueil_plugin_v1() -> rcl_descriptor
 *     create()          -> rcl_plugin           once
 *       probe()                                 any number of times, optional
 *       open()          -> rcl_device           once for each device
 *         get_info(), get_caps()                once, right after open
 *         capture() ...                         any number of times, one after the other
 *         close()
 *     destroy()
 *
 * Rules. "Broken" means that the host may end the plugin's process; the device is then opened anew.
 *
 * R1  Sizes. A struct whose first field is `size` carries what sizeof gave on the side that FILLED it. A field
 *     is there if it ends at or before `size`; one that is not there reads as 0 or NULL. Fields are only ever
 *     added at the end. No struct has padding, since a new field in old padding would read as garbage.
 * R2  Arrays. A struct with a `size` never stands in an array; array elements never change.
 * R3  Types. Fixed-width integers, pointers and char[] only. A status, event, format, bus or flag that is not
 *     known here is data, never a reason to fail: skip it, or treat it as the general case.
 * R4  Memory. Nobody frees what the other side made. Unless said otherwise a pointer given in a call is valid
 *     until that call returns; copy what you keep. Strings are UTF-8 and end with a 0; a char[N] that is
 *     filled always ends with a 0 inside N. What is said of a frame agrees with itself and lies within its
 *     memory.
 * R5  Leaving. No C++ exception, panic or longjmp crosses the boundary. A plugin installs no signal handler,
 *     calls no exit, abort or fork, changes no working folder, umask or locale, and leaves no thread running
 *     that still calls the host after close() or destroy() returned.
 * R6  Threads. [main] calls come on one thread, one after the other. [dev] calls come on the one thread that
 *     the host made for this device, one after the other; they may block up to their deadline. [any] calls
 *     come from any thread, also while a [dev] call runs; they return at once. Every host function is [any].
 * R7  Deadlines. Each call names one. When it passes, the process is killed: there is no second warning.
 * R8  Optional functions may be NULL. All others must be set.
 * R9  Status. 0 or more is success, and may carry a number where the function says so. Below 0 is an error.
 *     Before it returns an error a plugin may say more with host->fail().
 * R10 Requests. `req` names one capture. It is never used twice in a process. Host functions with a `req` that
 *     does not run now do nothing and give RCL_E_INVALID.
 * R11 What was seen is not kept. Once its first capture() is called a plugin can store nothing any more
 *     (blob_put gives RCL_E_ACCESS), and the process is replaced at the end of the session.
 */
#ifndef RECUEIL_PLUGIN_H
#define RECUEIL_PLUGIN_H

#include <stdint.h>

#if UINTPTR_MAX != 0xFFFFFFFFFFFFFFFFu
#error "recueil_plugin.h describes 64-bit systems only"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The major number is in the entry symbol's name; the minor grows with each addition (R1). */
#define RCL_ABI_MAJOR 1
#define RCL_ABI_MINOR 0

#define RCL_EXPORT __attribute__((visibility("default")))

/* ---- numbers ---------------------------------------------------------------------------------------- */

typedef int32_t rcl_status;
enum {
    RCL_OK = 0,
    RCL_E_FAILED = -1,      /* any other failure; what is below 0 and unknown means this */
    RCL_E_UNSUPPORTED = -2, /* the device cannot do it */
    RCL_E_INVALID = -3,     /* the caller broke a rule */
    RCL_E_NO_MEMORY = -4,
    RCL_E_TIMEOUT = -5,     /* deadline_ms passed and nothing was presented */
    RCL_E_CANCELLED = -6,   /* the cancel descriptor became readable */
    RCL_E_BUSY = -7,
    RCL_E_GONE = -8,        /* unplugged */
    RCL_E_IO = -9,          /* the line to the device failed */
    RCL_E_ACCESS = -10,
    RCL_E_AGAIN = -11,      /* no free preview frame: leave this one out */
    RCL_E_FIRMWARE = -12,
    RCL_E_CALIBRATION = -13,
    RCL_E_JAM = -14,
    RCL_E_NO_MEDIA = -15,
    RCL_E_COVER_OPEN = -16,
    RCL_E_TAMPER = -17,
    RCL_E_LICENCE = -18,
    RCL_E_PANIC = -19       /* given by language layers when a panic or exception was caught */
};

enum { /* levels of host->log */
    RCL_LOG_TRACE = 0,
    RCL_LOG_DEBUG = 1,
    RCL_LOG_INFO = 2,
    RCL_LOG_WARN = 3,
    RCL_LOG_ERROR = 4,
    RCL_LOG_MISBEHAVING = 5 /* the host broke a rule, as the plugin sees it */
};

enum { /* rcl_devref.bus */
    RCL_BUS_USB = 1,     /* a usbfs node, interface claimed for you; wrap it, do not enumerate */
    RCL_BUS_SERIAL = 2,  /* a tty, exclusive; set the line yourself */
    RCL_BUS_V4L2 = 3,
    RCL_BUS_HIDRAW = 4,
    RCL_BUS_NETWORK = 5, /* a connected socket */
    RCL_BUS_VIRTUAL = 6  /* a connected Unix stream socket */
};

enum { /* modalities: bits in rcl_descriptor, rcl_devinfo, rcl_caps; one of them in rcl_params */
    RCL_MOD_FINGERPRINT = 1,
    RCL_MOD_CAMERA = 2,
    RCL_MOD_SCANNER = 4,
    RCL_MOD_SIGNATURE = 8, /* reserved */
    RCL_MOD_CARD = 16      /* reserved */
};

enum { /* pixel formats */
    RCL_PIX_GRAY8 = 1,     /* one byte a pixel, 0 is black */
    RCL_PIX_RGB24 = 2,     /* red, green, blue, one byte each */
    RCL_PIX_GRAY16LE = 3,  /* reserved, as all below but JPEG: a host of this release refuses them */
    RCL_PIX_BGR24 = 4,
    RCL_PIX_YUYV = 5,
    RCL_PIX_NV12 = 6,
    RCL_PIX_BIT1 = 7,
    RCL_PIX_JPEG = 20,     /* one whole JPEG file (ISO/IEC 10918-1), `used` bytes, stride 0 */
    RCL_PIX_PNG = 21,
    RCL_PIX_OPAQUE = 22
};

enum { /* what a frame is for */
    RCL_FRAME_PREVIEW = 1, /* shown, never kept */
    RCL_FRAME_RESULT = 2   /* what the capture is for */
};

enum { /* host->event; `value` in brackets */
    RCL_EV_PROGRESS = 1,         /* [0..1000 of the whole capture] */
    RCL_EV_PLACE = 2,            /* put the finger, face or paper there [finger position code, 0 none] */
    RCL_EV_REMOVE = 3,           /* take it away [finger position code, 0 none] */
    RCL_EV_MOVE = 4,             /* [1 left, 2 right, 3 up, 4 down] */
    RCL_EV_PRESSURE = 5,         /* [-1 too light, 1 too strong] */
    RCL_EV_BUTTON = 6,           /* [the button's number] */
    RCL_EV_MEDIA = 7,            /* [1 paper or card seen, 0 none] */
    RCL_EV_HOLD = 8,             /* seen, keep still [0] */
    RCL_EV_FINGERS = 9,          /* [fingers seen now] */
    RCL_EV_LIFTED_EARLY = 10,    /* taken away before the picture was taken [0] */
    RCL_EV_DEVICE_GONE = 100,    /* unplugged [0]; the running capture then ends with RCL_E_GONE */
    RCL_EV_DEVICE_STATE = 101,   /* ask get_info and get_caps again [0] */
    RCL_EV_DEVICES_CHANGED = 102 /* ask enumerate again [0] */
};

/* ---- structs that both sides fill ---------------------------------------------------------------------- */

/* Head of an optional part. Parts form a list through `next`; one whose `type` is not known is passed over. */
typedef struct rcl_struct {
    uint32_t size;
    uint32_t type; /* RCL_TYPE_* */
    const struct rcl_struct *next;
} rcl_struct;

/* One picture in memory that the host owns and shares with the process that will read it. Write each byte
 * once, straight from the device. `data` is aligned to a page. What no row covers need not be written. */
typedef struct rcl_frame {
    uint32_t size;
    uint32_t pixfmt;   /* in: RCL_PIX_* */
    uint32_t width;    /* in: pixels, 1..32768 */
    uint32_t height;   /* in: pixels, 1..32768 */
    uint32_t stride;   /* in: bytes from row to row, 0 lets the host choose; out: as it is */
    uint32_t flags;    /* 0 */
    uint64_t capacity; /* in: bytes wanted, for compressed formats only; out: bytes at `data` */
    uint64_t used;     /* set it before submitting: bytes valid from `data` on; 0 means stride * height */
    uint8_t *data;     /* out */
    uint64_t handle;   /* out: the host's, leave it */
} rcl_frame;

/* What the device says of a submitted frame. */
typedef struct rcl_meta {
    uint32_t size;
    uint32_t ppi_x_milli; /* thousandths of a pixel per inch, 0 not known, at most 25400000 */
    uint32_t ppi_y_milli;
    uint32_t sequence;    /* counts the frames of one capture from 0, gaps are allowed */
    uint32_t page;        /* scanners: the side, from 1; else 0 */
    uint32_t flags;       /* 0 */
    uint64_t t_ns;        /* host->now_ns() when it was exposed, 0 not known; not before capture() by over 1 s */
    const rcl_struct *next; /* rcl_fp_meta, or NULL */
} rcl_meta;

/* A device handed over. The descriptor stays the host's: use it, do not close it; it is open until close()
 * returned (in probe: until probe returned). The strings are for messages, not for opening. */
typedef struct rcl_devref {
    uint32_t size;
    uint32_t bus;       /* RCL_BUS_* */
    int32_t fd;         /* -1 where the bus has none */
    uint32_t usb_vid;   /* 0 elsewhere */
    uint32_t usb_pid;
    uint32_t usb_iface;
    const char *path;   /* never NULL, may be empty */
    const char *serial; /* never NULL, may be empty */
} rcl_devref;

/* What a device is. The host zeros it before it asks, with its own sizeof as `size`: write no field beyond
 * that. A plugin that knows fewer fields sets `size` to its own. */
typedef struct rcl_devinfo {
    uint32_t size;
    uint32_t modalities; /* RCL_MOD_* bits */
    char vendor[64];
    char model[64];
    char serial[64];     /* the device's own; the same after unplugging */
    char firmware[32];
    char hw_rev[32];
    char unique_id[96];  /* where the serial number is not unique; else empty */
} rcl_devinfo;

/* What a device can. `size` as in rcl_devinfo. */
typedef struct rcl_caps {
    uint32_t size;
    uint32_t modalities;         /* RCL_MOD_* bits */
    uint32_t max_width;          /* of any frame, pixels */
    uint32_t max_height;
    uint32_t ppi_milli;          /* native resolution */
    uint32_t pixfmts;            /* bit n: RCL_PIX_* n */
    uint32_t flags;              /* RCL_CAP_* bits */
    uint32_t capture_timeout_ms; /* what a capture usually takes at most */
} rcl_caps;
enum {
    RCL_CAP_PREVIEW = 1,
    RCL_CAP_LED = 2,
    RCL_CAP_BEEP = 4,
    RCL_CAP_PAD = 8,         /* detects presentation attacks by itself */
    RCL_CAP_AUTO_CAPTURE = 16 /* decides by itself when the picture is good */
};

/* What one capture is asked for. */
typedef struct rcl_params {
    uint32_t size;
    uint32_t modality;    /* one RCL_MOD_* */
    uint32_t pixfmt;      /* RCL_PIX_*, 0 as the device likes */
    uint32_t ppi_milli;   /* 0 native */
    uint32_t deadline_ms; /* the capture must have returned after this many milliseconds; see capture() */
    uint32_t preview_fps; /* 0 no previews */
    uint32_t flags;       /* 0 */
    uint32_t reserved;
    const rcl_struct *next; /* rcl_fp_params or rcl_scan_params, or NULL */
} rcl_params;

/* A lamp and a sound. */
typedef struct rcl_feedback {
    uint32_t size;
    uint32_t led;     /* 0 off, 1 idle, 2 wait, 3 good, 4 fail */
    uint32_t beep_ms; /* 0 no sound */
    uint32_t beep_hz;
    uint32_t slot;    /* which lamp, 0 the first */
} rcl_feedback;

/* ---- the host: given to create(), valid until destroy() returned. All [any], all return at once. ------- */

typedef struct rcl_host rcl_host;
struct rcl_host {
    uint32_t size;
    uint16_t abi_major;
    uint16_t abi_minor;
    void *ctx; /* the host's */

    /* A host extension by its id; NULL if there is none. There are none in 1.0. */
    const void *(*get_extension)(const rcl_host *host, const char *id);

    /* One line for the log: printable, no personal data, cut at 200 characters; 20 lines during a capture. */
    void (*log)(const rcl_host *host, int32_t level, const char *text);

    /* CLOCK_MONOTONIC in nanoseconds. */
    uint64_t (*now_ns)(const rcl_host *host);

    /* The administrator's value for `key`, copied with its 0 into `buf`. Gives its length without the 0;
     * if that is `cap` or more, nothing was copied. RCL_E_UNSUPPORTED if there is none. */
    rcl_status (*config_get)(const rcl_host *host, const char *key, char *buf, uint32_t cap);

    /* Bytes that were stored for this device (calibration and the like; there is no disk). Gives their
     * length; if that is more than `cap`, nothing was copied. RCL_E_UNSUPPORTED if there are none.
     * Keys: 1 to 64 of a-z, 0-9, '-', '.'. */
    int64_t (*blob_get)(const rcl_host *host, const char *key, void *buf, uint64_t cap);

    /* Stores bytes for this device; at most 256 KiB under all keys together, else RCL_E_NO_MEMORY.
     * RCL_E_ACCESS once capture() was called (R11). */
    rcl_status (*blob_put)(const rcl_host *host, const char *key, const void *bytes, uint64_t len);

    /* Memory for one picture. `io->size` and the fields marked "in" are set by the caller. On success the
     * frame is the plugin's until it is submitted or dropped, and at the latest until capture() returns.
     * RCL_E_AGAIN: previews are slower than you, leave this one out. RCL_E_NO_MEMORY: larger than the host
     * lends (the caps decide), or a second result at once. RCL_E_UNSUPPORTED: a format it does not take. */
    rcl_status (*frame_alloc)(const rcl_host *host, uint64_t req, uint32_t kind, rcl_frame *io);

    /* Gives a picture away. The frame is consumed in every case, also when an error comes back:
     * RCL_E_INVALID if its numbers do not agree or `meta` is not well formed, RCL_E_CANCELLED once the capture
     * was cancelled. */
    rcl_status (*frame_submit)(const rcl_host *host, uint64_t req, rcl_frame *frame, const rcl_meta *meta);

    /* Gives memory back unused. */
    void (*frame_drop)(const rcl_host *host, rcl_frame *frame);

    /* Tells the person at the device something. `detail` may be NULL. Unknown events are passed on. */
    rcl_status (*event)(const rcl_host *host, uint64_t req, uint32_t ev, int64_t value, const char *detail);

    /* Explains the error that the running call is about to return: the vendor's code and words. `req` is 0
     * outside captures. The last one before the return counts. `text` may be NULL. */
    void (*fail)(const rcl_host *host, uint64_t req, rcl_status status, int64_t vendor_code, const char *text);

    /* A descriptor that becomes readable when the capture is cancelled. The host's: poll it, neither read
     * nor close it. Valid until capture() returns. -1 if `req` does not run. */
    int32_t (*cancel_fd)(const rcl_host *host, uint64_t req);
};

/* ---- a device: made by open(), the plugin's until close() returned -------------------------------------- */

typedef struct rcl_device rcl_device;
struct rcl_device {
    uint32_t size;
    uint32_t reserved; /* 0 */
    void *ctx;         /* the plugin's */

    /* [dev] 2 s. The last call; frees the device. */
    void (*close)(rcl_device *device);

    /* [any] at once. A device extension by its id, NULL if there is none. Valid until close(). */
    const void *(*get_extension)(rcl_device *device, const char *id);

    /* [dev] 1 s. Who it is. */
    rcl_status (*get_info)(rcl_device *device, rcl_devinfo *out);

    /* [dev] 1 s. What it can. */
    rcl_status (*get_caps)(rcl_device *device, rcl_caps *out);

    /* [dev] deadline_ms and 1 s more. One whole capture: waits for what is presented, submits previews if
     * they are asked for and at least one result, and returns RCL_OK. Returns RCL_E_CANCELLED within 1 s
     * after the cancel descriptor became readable, RCL_E_TIMEOUT when deadline_ms is over. */
    rcl_status (*capture)(rcl_device *device, uint64_t req, const rcl_params *params);

    /* [any] optional, at once. For SDKs that cannot poll: makes the running capture return. May come before
     * capture() was entered and after it returned. */
    void (*cancel)(rcl_device *device, uint64_t req);

    /* [dev] optional, 1 s. */
    rcl_status (*feedback)(rcl_device *device, const rcl_feedback *feedback);

    /* [dev] optional, 5 s. `level`: 0 is quick, 1 may move parts. */
    rcl_status (*self_test)(rcl_device *device, uint32_t level);
};

/* ---- the plugin: made by create(), its own until destroy() returned ------------------------------------- */

typedef struct rcl_plugin rcl_plugin;
struct rcl_plugin {
    uint32_t size;
    uint32_t reserved; /* 0 */
    void *ctx;         /* the plugin's */

    /* [main] 2 s, close() included. The last call; every device is closed. */
    void (*destroy)(rcl_plugin *plugin);

    /* [any] at once. A plugin extension by its id; there are none in 1.0. */
    const void *(*get_extension)(rcl_plugin *plugin, const char *id);

    /* [main] optional, 1 s. Is this device mine? 1 yes, and `out` is filled as far as the descriptors alone
     * tell; 0 no. Nothing is sent to the device but standard requests. */
    rcl_status (*probe)(rcl_plugin *plugin, const rcl_devref *ref, rcl_devinfo *out);

    /* [dev] 5 s. */
    rcl_status (*open)(rcl_plugin *plugin, const rcl_devref *ref, rcl_device **out);

    /* [main] optional, 5 s. For buses that the system does not enumerate. 1: `out` is filled, 0: no more.
     * `index` counts from 0; strings are valid until the next call with index 0. */
    rcl_status (*enumerate)(rcl_plugin *plugin, uint32_t index, rcl_devref *out);
};

/* What a plugin is, before anything of it runs. Static. */
typedef struct rcl_descriptor {
    uint32_t size;
    uint16_t abi_major;      /* RCL_ABI_MAJOR when it was compiled */
    uint16_t abi_minor;
    uint32_t host_minor_min; /* lowest minor of the host it can do with */
    uint32_t modalities;     /* RCL_MOD_* bits */
    uint32_t flags;          /* RCL_PLUGIN_* bits */
    uint32_t reserved;       /* 0 */
    const char *id;          /* reverse DNS; the manifest says the same */
    const char *name;
    const char *vendor;
    const char *version;
    const char *licence;
    /* [main] 1 s, entry included. No device is touched. */
    rcl_status (*create)(const rcl_host *host, rcl_plugin **out);
} rcl_descriptor;
enum { RCL_PLUGIN_ONE_AT_A_TIME = 1 /* its devices cannot capture at the same time */ };

/* The one exported symbol. [main] Pure: gives static data, starts nothing, and the same at each call.
 * Another major will have another symbol, so one file can serve both. NULL refuses the host. */
RCL_EXPORT const rcl_descriptor *recueil_plugin_v1(uint32_t host_abi_minor);

/* ---- extensions: "name/revision". A released revision never changes. Others may use "com.example.name/1".
 *      Reserved for later: "recueil.signature/1", "recueil.quality/1". ----------------------------------- */

#define RCL_EXT_FINGERPRINT "recueil.fingerprint/1"

enum { RCL_TYPE_FP_PARAMS = 0x46500001, RCL_TYPE_FP_META = 0x46500002 };

/* In rcl_params.next. Finger positions are those of ANSI/NIST-ITL 1-2011 table 12: 1..5 right thumb to little
 * finger, 6..10 left thumb to little finger, 13 right four fingers, 14 left four fingers. */
typedef struct rcl_fp_params {
    rcl_struct h;
    uint32_t positions;   /* bit n: position n is asked */
    uint32_t missing;     /* bit n: position n (1..10) will not be presented; do not wait for it */
    uint32_t min_quality; /* 0..100 on the device's own scale, 0 as it likes */
    uint32_t reserved;
} rcl_fp_params;

/* One finger found by the device. An array element (R2): never changes. */
typedef struct rcl_fp_segment {
    uint32_t position;      /* 1..10, 0 not known */
    int32_t x;              /* upright box around the fingertip before turning, pixels from the top left */
    int32_t y;
    uint32_t w;
    uint32_t h;
    int32_t angle_milli_deg; /* turn of the fingertip about the box's centre, clockwise, thousandths of a degree */
    uint32_t quality;       /* 0..100 on the device's own scale, RCL_FP_QUALITY_NONE */
    uint32_t quality_alg;   /* CBEFF product id of the algorithm, 0 not known */
} rcl_fp_segment;
enum { RCL_FP_QUALITY_NONE = 255, RCL_FP_SEGMENTS_MAX = 16 };

/* In rcl_meta.next. The attack score and verdict are the device's own (ISO/IEC 30107) and only relayed. */
typedef struct rcl_fp_meta {
    rcl_struct h;
    uint32_t position;    /* of the whole frame: 1..10, 13, 14, 0 not known */
    uint32_t impression;  /* 0 live-scan plain, the only one so far */
    uint32_t nsegments;   /* at most RCL_FP_SEGMENTS_MAX */
    uint32_t pad_score;   /* 0 surely genuine .. 1000 surely an attack, RCL_FP_PAD_SCORE_NONE */
    uint32_t pad_verdict; /* RCL_FP_PAD_* */
    uint32_t reserved;    /* 0 */
    const rcl_fp_segment *segments; /* NULL if nsegments is 0 */
} rcl_fp_meta;
#define RCL_FP_PAD_SCORE_NONE 0xFFFFFFFFu
enum { RCL_FP_PAD_NONE = 0, RCL_FP_PAD_GENUINE = 1, RCL_FP_PAD_ATTACK = 2 };

typedef struct rcl_fingerprint_v1 {
    uint32_t size;
    uint32_t reserved;
    rcl_status (*finger_present)(rcl_device *device);          /* [dev] 1 s. 1 yes, 0 no */
    rcl_status (*calibrate)(rcl_device *device, uint64_t req); /* [dev] 60 s. Keep the outcome with blob_put */
} rcl_fingerprint_v1;

#define RCL_EXT_CAMERA "recueil.camera/1"

/* One thing that can be set on a camera: exposure, focus, zoom, white balance, light. */
typedef struct rcl_control {
    uint32_t size;
    uint32_t id;
    uint32_t kind; /* RCL_CONTROL_* */
    uint32_t flags; /* 0 */
    int64_t min;
    int64_t max;
    int64_t step;
    int64_t dflt;
    char name[48];
    char unit[16];
} rcl_control;
enum { RCL_CONTROL_INT = 1, RCL_CONTROL_MENU = 2, RCL_CONTROL_BOOL = 3, RCL_CONTROL_BUTTON = 4 };

typedef struct rcl_camera_v1 {
    uint32_t size;
    uint32_t reserved;
    rcl_status (*control)(rcl_device *device, uint32_t index, rcl_control *out); /* [dev] 1 s. 1 filled, 0 no more */
    rcl_status (*get)(rcl_device *device, uint32_t id, int64_t *out);            /* [any] */
    rcl_status (*set)(rcl_device *device, uint32_t id, int64_t value);           /* [any] also during previews */
} rcl_camera_v1;

#define RCL_EXT_SCANNER "recueil.scanner/1"

enum { RCL_TYPE_SCAN_PARAMS = 0x53430001 };

/* In rcl_params.next. One capture is one job: one result a side, in order, numbered by rcl_meta.page. */
typedef struct rcl_scan_params {
    rcl_struct h;
    uint32_t source;    /* rcl_source.id, 0 the first */
    uint32_t sides;     /* 1 front, 2 back, 3 both */
    uint32_t max_pages; /* 0 until the feeder is empty */
    uint32_t reserved;
    int32_t x_um;       /* the area, micrometres from the top left of the glass; all 0: all of it */
    int32_t y_um;
    int32_t w_um;
    int32_t h_um;
} rcl_scan_params;

/* Where paper may lie. */
typedef struct rcl_source {
    uint32_t size;
    uint32_t id;
    uint32_t kind;     /* RCL_SOURCE_* */
    uint32_t sides;    /* 1 front, 2 back, 3 both */
    uint32_t max_w_um;
    uint32_t max_h_um;
} rcl_source;
enum { RCL_SOURCE_FLATBED = 1, RCL_SOURCE_FEEDER = 2, RCL_SOURCE_CARD_SLOT = 3 };

typedef struct rcl_scanner_v1 {
    uint32_t size;
    uint32_t reserved;
    rcl_status (*source)(rcl_device *device, uint32_t index, rcl_source *out); /* [dev] 1 s. 1 filled, 0 no more */
    rcl_status (*media_present)(rcl_device *device, uint32_t source);          /* [dev] 1 s. 1 yes, 0 no */
} rcl_scanner_v1;

#ifdef __cplusplus
}
#endif
#endif
