"""What names may look like: Cloud Run's and Google Cloud's, and the plan's own.

One place, for the reader and for the compact form, which is read back from where others can write.
Sources: Cloud Run services have at most 49 characters, revisions, tags and their DNS labels 63.
"""

from __future__ import annotations

import re

SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,47}[a-z0-9])?", re.ASCII)
REVISION = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
TAG = REVISION
PROJECT = re.compile(r"([a-z0-9.-]{1,60}:)?[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?", re.ASCII)
REGION = re.compile(r"[a-z]{2,20}-[a-z]{2,20}[0-9]{1,2}", re.ASCII)
ZONE = re.compile(r"[A-Za-z0-9_+-]{1,30}(/[A-Za-z0-9_+-]{1,30}){0,3}", re.ASCII)
OWN_PATTERN = r"[a-z0-9][a-z0-9_-]{0,39}"
OWN = re.compile(OWN_PATTERN, re.ASCII)
METRIC_TYPE = re.compile(r"[a-z][a-z0-9.-]{0,100}(/[A-Za-z0-9_.-]{1,100}){1,8}", re.ASCII)
LABEL = re.compile(r"(metric|resource)\.labels\.[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
CODE = re.compile(r"[1-5](xx|[0-9]{2})", re.ASCII)
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
ENV_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,99}", re.ASCII)
# Control characters, zero-width ones, and those that turn the direction of writing: invisible in
# an editor, so a plan could read other than it looks. U+0085, U+2028/9 would break lines unseen.
UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069"
    "\ufeff\ufff9-\uffff\ud800-\udfff]"
)
# Monitoring's names: https://cloud.google.com/monitoring/api/ref_v3/rest/v3/Aggregation
ALIGNERS = (
    "ALIGN_DELTA",
    "ALIGN_RATE",
    "ALIGN_INTERPOLATE",
    "ALIGN_NEXT_OLDER",
    "ALIGN_MIN",
    "ALIGN_MAX",
    "ALIGN_MEAN",
    "ALIGN_COUNT",
    "ALIGN_SUM",
    "ALIGN_STDDEV",
    "ALIGN_COUNT_TRUE",
    "ALIGN_COUNT_FALSE",
    "ALIGN_FRACTION_TRUE",
)
REDUCERS = (
    "REDUCE_MEAN",
    "REDUCE_MIN",
    "REDUCE_MAX",
    "REDUCE_SUM",
    "REDUCE_STDDEV",
    "REDUCE_COUNT",
    "REDUCE_COUNT_TRUE",
    "REDUCE_COUNT_FALSE",
    "REDUCE_FRACTION_TRUE",
)
