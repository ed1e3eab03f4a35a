#!/bin/sh
# One execution of the job: a pass over every rollout, then a line for each rollout that there is.
# Both in JSON, which Cloud Logging takes apart: the alerts in main.tf read `unwatched`.
code=0
rollout tick --all -o json || code=$?
rollout list -o json || [ "$code" -ne 0 ] || code=1
case "$code" in
  0 | 4 | 5) exit 0 ;; # goes on, waits for a person, or the next pass does the rest
  *) exit "$code" ;;   # 3 rolled back, 6 nobody moves it, 1 a service could not be looked at
esac
