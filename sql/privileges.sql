-- Last in the install script: nobody gets anything but by a grant.
REVOKE ALL ON SCHEMA ets FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA ets FROM PUBLIC;
