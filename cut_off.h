/* cut_off.h -- a model file that becomes shorter while it is mapped (a download that began again): the system ends a
 * process that reads the missing part with SIGBUS. Here such a process prints its one line, and exits with E_MODEL. */
#ifndef CUT_OFF_H
#define CUT_OFF_H

/* For the whole process, once, from main. */
void cut_off_watch(void);

#endif
