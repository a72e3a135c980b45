"""What provisioning sees of any hub: `interfaces.Hub`, one file for each kind of hub. Fronts never come here."""
