# What the platform does not know; cluster_name and labels are its outputs (ci/terraform gitops).
admin_group_id = "00000000-0000-4000-8000-00000000c001"
sso_client_id  = "00000000-0000-4000-8000-00000000e001"
