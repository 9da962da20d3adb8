// driver.h: the NVIDIA driver, found when a program asks for a device and not when it starts.
#ifndef CRITICRM_DRIVER_H
#define CRITICRM_DRIVER_H

// Finds and starts the driver, once. NULL, or the sentence that says why there is none.
const char *criticrm_driver(void);

#endif
