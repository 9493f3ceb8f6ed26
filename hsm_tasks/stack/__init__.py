"""A stack as it is on the disk: the workspace around it, everything that is read of it, and what switches write."""
