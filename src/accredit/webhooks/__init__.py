"""How the webhooks of enrollments are called: one signed POST under the outbound rules. What is asked, what an answer means
and when to ask again is provisioning's."""
