# The controller as a Cloud Run Job that Cloud Scheduler runs every five minutes: see README.md.
terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0, < 8.0"
    }
  }
}

variable "project" {
  type        = string
  description = "The project whose rollouts are watched."
}

variable "region" {
  type        = string
  description = "Where the job runs."
  default     = "us-central1"
}

variable "watched_regions" {
  type        = list(string)
  description = "The regions whose rollouts are watched; empty: the job's own."
  default     = []
}

variable "image" {
  type        = string
  description = "The image of this folder's Dockerfile, by digest."
}

variable "runtime_accounts" {
  type        = set(string)
  description = "E-mail addresses of the accounts that the services run as."
  default     = []
}

variable "notification_channels" {
  type        = list(string)
  description = "Names of the channels that the alerts go to."
}

provider "google" {
  project = var.project
  region  = var.region
}

locals {
  watched = join(",", length(var.watched_regions) > 0 ? var.watched_regions : [var.region])
  of_job  = "resource.type = \"cloud_run_job\" AND resource.labels.job_name = \"${google_cloud_run_v2_job.tick.name}\""
}

# Who the controller is --------------------------------------------------------------------------

resource "google_service_account" "controller" {
  account_id   = "rollout-controller"
  display_name = "rollout: one pass every five minutes"
}

resource "google_project_iam_custom_role" "controller" {
  role_id = "rolloutController"
  title   = "rollout controller"
  permissions = [
    "monitoring.metricDescriptors.get", # GetMetricDescriptor: how a custom metric adds up
    "monitoring.timeSeries.list",       # ListTimeSeries: the evidence of every gate
    "run.revisions.get",                # GetRevision: is the candidate ready, is there a way back
    "run.services.get",                 # GetService: split and record; the GET before each write
    "run.services.list",                # ListServices: which services carry a record
    "run.services.update",              # the one guarded write: PUT of traffic and record
  ]
}

resource "google_project_iam_member" "controller" {
  project = var.project
  role    = google_project_iam_custom_role.controller.id
  member  = google_service_account.controller.member
}

# A write may be asked for iam.serviceAccounts.actAs on the account that the service runs as.
resource "google_service_account_iam_member" "acts_as" {
  for_each           = var.runtime_accounts
  service_account_id = "projects/${var.project}/serviceAccounts/${each.value}"
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.controller.member
}

# The job and its schedule -----------------------------------------------------------------------

resource "google_cloud_run_v2_job" "tick" {
  name     = "rollout-tick"
  location = var.region

  template {
    task_count = 1
    template {
      service_account = google_service_account.controller.email
      max_retries     = 0 # the next pass is the retry
      timeout         = "290s"

      containers {
        image = var.image

        env {
          name  = "GOOGLE_CLOUD_PROJECT"
          value = var.project
        }
        env {
          name  = "CLOUDSDK_RUN_REGION"
          value = local.watched
        }

        resources {
          limits = {
            cpu    = "1"
            memory = "512Mi"
          }
        }
      }
    }
  }
}

resource "google_service_account" "scheduler" {
  account_id   = "rollout-scheduler"
  display_name = "rollout: runs the job"
}

resource "google_cloud_run_v2_job_iam_member" "scheduler" {
  name     = google_cloud_run_v2_job.tick.name
  location = google_cloud_run_v2_job.tick.location
  role     = "roles/run.invoker" # run.jobs.run: jobs.run, the one call of the schedule
  member   = google_service_account.scheduler.member
}

resource "google_cloud_scheduler_job" "tick" {
  name             = "rollout-tick"
  region           = var.region
  schedule         = "*/5 * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "60s"

  retry_config {
    retry_count = 1
  }

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.tick.id}:run"

    oauth_token {
      service_account_email = google_service_account.scheduler.email
    }
  }
}

# Who watches the watcher ------------------------------------------------------------------------

resource "google_monitoring_alert_policy" "missed" {
  display_name          = "rollout: no pass succeeded for 20 minutes"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = var.notification_channels

  conditions {
    display_name = "no completed execution"
    condition_absent {
      filter   = "${local.of_job} AND metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"succeeded\""
      duration = "1200s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content = "Nobody moves or rolls back the rollouts of ${var.project} now. `rollout list` shows them, unwatched first; `rollout tick --all` is a pass by hand."
  }
}

resource "google_monitoring_alert_policy" "unwatched" {
  display_name          = "rollout: a rollout is unwatched"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = var.notification_channels

  conditions {
    display_name = "a pass ran and a rollout is unwatched still"
    condition_matched_log {
      filter = "${local.of_job} AND jsonPayload.unwatched = true"
      label_extractors = {
        service = "EXTRACT(jsonPayload.service)"
      }
    }
  }

  alert_strategy {
    auto_close = "1800s"
    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content = "A pass over every rollout did not reach this one. `rollout status SERVICE` says why and what to do."
  }
}

resource "google_monitoring_alert_policy" "failed" {
  display_name          = "rollout: a pass ended with an error, a roll back or a rollout taken over"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels

  conditions {
    display_name = "failed execution"
    condition_threshold {
      filter          = "${local.of_job} AND metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"failed\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    content = "The job's log has the lines: code 3 rolled back, 6 traffic is split and nobody moves it, 1 a service could not be looked at."
  }
}
