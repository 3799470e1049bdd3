#!/bin/sh
# libm_symbols.sh NM LIBRARY...: no object of these static libraries may take from libm what has other bits on other
# machines (kernels/ARITHMETIC.md): fma, sqrt, rint and their like are defined to the last bit, exp, log, sin and theirs
# are not. LIBRARY:OBJECT looks at one object only.
set -u
nm=$1
shift
# With their f and l forms. Functions that are exact by definition (floor, round, ldexp, fmod ..) may be used.
libm='exp|exp2|exp10|expm1|log|log2|log10|log1p|pow|cbrt|hypot|sin|cos|tan|sincos|asin|acos|atan|atan2|sinh|cosh|tanh'
libm="$libm|asinh|acosh|atanh|erf|erfc|tgamma|lgamma|j0|j1|jn|y0|y1|yn"
rc=0
for what in "$@"; do
    library=${what%%:*}
    object=${what#"$library"}
    symbols=$("$nm" -A --undefined-only "$library") || exit 1
    found=$(echo "$symbols" | grep -F "$object" | grep -E " U (__)?($libm)[fl]?(_finite)?\$")
    [ -z "$found" ] || { echo "$found"; rc=1; }
done
exit $rc
