/* sim_script.h -- models that write scripted texts: see sim.h. */
#ifndef TESTS_LIB_SIM_SCRIPT_H
#define TESTS_LIB_SIM_SCRIPT_H

#include "simulator.h"
#include "tests/lib/sim.h"

enum { SIM_SCRIPT_ROOT = 77 }; /* the prefix hash of no ids, from which letters are drawn */

struct sim_script {
    const struct sim_text *texts; /* [n_texts] borrowed */
    int n_texts;
    bool by_place;     /* ids of the one text go by place, whatever stands before */
    int wrong_percent; /* of the drafts outside scripts */
};

struct simulator_models sim_script_models(struct sim_script *script); /* borrowed as long as they are */

#endif
