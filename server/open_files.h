// How many files, and so connections, the process may have open.
#ifndef FLASHCORE_SERVER_OPEN_FILES_H_
#define FLASHCORE_SERVER_OPEN_FILES_H_

namespace flashcore {

// Raises the limit as far as the system lets anybody do so. The usual 1024 is for programs that use select(), and
// strangers can open as many connections.
void RaiseOpenFilesLimit();

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_OPEN_FILES_H_
