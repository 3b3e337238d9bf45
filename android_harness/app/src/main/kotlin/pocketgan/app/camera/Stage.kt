package pocketgan.app.camera

import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

/** Where a session's pictures can be seen: an activity in front puts its screen here, while a Job wants one. */
internal object Stage {
    private val lock = ReentrantLock()
    private val changed = lock.newCondition()
    private var screen: PictureScreen? = null

    /** Whether a Job waits for a screen, or uses it. */
    @Volatile
    var isWanted = false
        private set

    /** There is a screen now. */
    fun put(now: PictureScreen) = lock.withLock {
        screen = now
        changed.signalAll()
    }

    /** That one is not there any more; another one may be. */
    fun remove(gone: PictureScreen) = lock.withLock {
        if (screen === gone) screen = null
    }

    /** The screen, after a wait of [timeoutNs] at most; null if nobody is in front. [leave] it behind. */
    fun enter(timeoutNs: Long): PictureScreen? = lock.withLock {
        isWanted = true
        var left = timeoutNs
        while (screen == null && left > 0) left = changed.awaitNanos(left)
        if (screen == null) isWanted = false
        screen
    }

    fun leave() {
        isWanted = false
    }
}
