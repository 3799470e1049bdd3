/* cut_off.h -- a model file that becomes shorter while it is mapped (a download begun again): the system ends a process
 * that reads what is gone with SIGBUS; we say so in our one line, and exit with E_MODEL.
 */
#ifndef CUT_OFF_H
#define CUT_OFF_H

/* For the whole process, once, from main. */
void cut_off_watch(void);

#endif
